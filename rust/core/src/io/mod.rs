//! The data set published with PRIME: TFRecord files of `tf.train.Example` records, read without TensorFlow.
//!
//! A TFRecord file is a row of records, each of them, little-endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | length `n` of the payload, unsigned |
//! | 4 | masked CRC-32C of these 8 bytes |
//! | `n` | payload |
//! | 4 | masked CRC-32C of the payload |
//!
//! with `masked(c) = rotate_right(c, 15) + 0xa282ead8` modulo 2^32. TensorFlow also writes the whole file
//! through gzip or zlib, both read here, and, from C++ alone, through Snappy blocks, which bear no mark to
//! tell them by and are not read.
//!
//! Files come from anywhere: none makes this module panic, and what it holds in memory at a time is bounded
//! by what it has read, whatever lengths the file claims.

mod designs;
mod example;
mod fault;
mod records;

pub use designs::{BadRecords, DesignRecords, FEATURES, FLOATS, ReadProgress, SHOWN, read_designs};
pub use example::{Feature, Kind, decode};
pub use fault::Fault;
pub use records::{Compression, MAX_PAYLOAD, Record, Records, is_tfrecord, masked_crc};
