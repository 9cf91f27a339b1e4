//! The framing of TFRecord files: lengths, checksums, payloads; plain or through gzip or zlib.

use std::io::{self, Read};

use flate2::read::{MultiGzDecoder, ZlibDecoder};

use super::fault::{Fault, shown};

/// Longest payload that is read, in bytes: 16 MiB, where a design takes some hundred bytes.
pub const MAX_PAYLOAD: u64 = 1 << 24;

const LENGTH: usize = 8;
const CRC: usize = 4;
const HEADER: usize = LENGTH + CRC;

/// Read at a time.
const CHUNK: usize = 1 << 18;

/// The checksum of TFRecord files: CRC-32C, rotated and shifted so that one of bytes with checksums is good.
#[must_use]
pub fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// How a whole file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// RFC 1952; several members one after the other are one file.
    Gzip,
    /// RFC 1950.
    Zlib,
}

/// One record of a file.
#[derive(Debug)]
pub struct Record<'a> {
    /// 1 for the first.
    pub number: u64,
    /// Where the record starts, in bytes; of a compressed file, of what it unpacks to.
    pub offset: u64,
    /// The payload, unless its checksum is wrong: the records that follow can be read all the same.
    pub payload: Result<&'a [u8], Fault>,
}

/// The records of a file, one after the other.
pub struct Records<R: Read> {
    window: Window<Unpacked<R>>,
    compression: Compression,
    number: u64,
}

impl<R: Read> Records<R> {
    /// Starts on a file, at its beginning; fails where it is empty or no TFRecord file.
    pub fn new(file: R) -> Result<Self, Fault> {
        let mut file = Window::new(file);
        let head = file.peek(HEADER).map_err(|error| unreadable(&error))?;
        if head.is_empty() {
            return Err(Fault::new("the file is empty", "", "a TFRecord file holds records"));
        }
        let compression = compression(head);
        let right = "a TFRecord file starts with the length of its first record, 8 bytes, and that length's \
                     CRC-32C; if this is one, its start is damaged";
        if let Some(name) = foreign(head) {
            let found = format!("a file that starts as {name}");
            return Err(Fault::new("not a TFRecord file", found, right));
        }
        let unpacked = match compression {
            Compression::Plain => Unpacked::Plain(file),
            Compression::Gzip => Unpacked::Gzip(Box::new(MultiGzDecoder::new(file))),
            Compression::Zlib => Unpacked::Zlib(Box::new(ZlibDecoder::new(file))),
        };
        let mut window = Window::new(unpacked);
        let head = window.peek(HEADER).map_err(|error| unreadable(&error))?;
        if head.is_empty() {
            return Err(Fault::new("the file is empty once unpacked", "", "a TFRecord file holds records"));
        }
        if header(head).is_none_or(|(length, crc)| crc != masked_crc(&length.to_le_bytes())) {
            let found = match compression {
                Compression::Plain => format!("a file that starts with {}", shown(head)),
                _ => format!("a compressed file that starts with {} once unpacked", shown(head)),
            };
            return Err(Fault::new("not a TFRecord file", found, right));
        }
        Ok(Self { window, compression, number: 0 })
    }

    /// How the file is compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Number of the record that was read last, or that a failure of [`Self::next`] is about.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where reading has come to, in bytes of what the file unpacks to; after a failure of [`Self::next`],
    /// the start of the record that failed.
    pub fn offset(&self) -> u64 {
        self.window.offset
    }

    /// The next record, none at the end. After a failure nothing more can be read.
    #[expect(clippy::should_implement_trait, reason = "a record borrows from the reader")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, Fault> {
        let head = match self.window.peek(HEADER) {
            Ok([]) => return Ok(None),
            Ok(head) => head,
            Err(error) => {
                self.number += 1;
                return Err(unreadable(&error));
            }
        };
        let found = head.len();
        self.number += 1;
        let Some((length, crc)) = header(head) else {
            return Err(truncated(found as u64, "the record's header of 12"));
        };
        let right = masked_crc(&length.to_le_bytes());
        if crc != right {
            return Err(Fault::new(
                "wrong CRC of a record's length, and the rest of the file is lost with it",
                format!("{crc:#010x} where the length {length} gives {right:#010x}"),
                "fetch the file again: where the next record starts can't be known",
            ));
        }
        if length > MAX_PAYLOAD {
            return Err(Fault::new(
                "a record is too long, and the rest of the file is not read",
                format!("{length} bytes"),
                "a record of a design takes some hundred bytes; 16 MiB is the most that is read",
            ));
        }
        let (number, offset) = (self.number, self.window.offset);
        let whole = HEADER + length as usize + CRC;
        let got = self.window.peek(whole).map_err(|error| unreadable(&error))?.len();
        if got < whole {
            return Err(truncated(got as u64, &format!("the record's {whole}")));
        }
        let bytes = self.window.advance(whole);
        let (payload, tail) = bytes[HEADER..].split_at(length as usize);
        let crc = little_endian_u32(tail);
        let right = masked_crc(payload);
        let payload = if crc == right {
            Ok(payload)
        } else {
            Err(Fault::new(
                "wrong CRC of a record's payload",
                format!("{crc:#010x} where the payload gives {right:#010x}"),
                "the record is damaged: fetch the file again",
            ))
        };
        Ok(Some(Record { number, offset, payload }))
    }
}

/// Whether a file is a TFRecord file by its first record, whatever its name; what can't be read is none.
pub fn is_tfrecord(file: impl Read) -> bool {
    Records::new(file).is_ok()
}

/// Length of the payload and that length's checksum.
fn header(head: &[u8]) -> Option<(u64, u32)> {
    let (length, crc) = head.first_chunk::<HEADER>()?.split_first_chunk::<LENGTH>()?;
    Some((u64::from_le_bytes(*length), little_endian_u32(crc)))
}

fn little_endian_u32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// By the first bytes of a file. A right checksum says more than two bytes that may be part of a length.
fn compression(head: &[u8]) -> Compression {
    if header(head).is_some_and(|(length, crc)| crc == masked_crc(&length.to_le_bytes())) {
        return Compression::Plain;
    }
    match head {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        // Deflate, windows of at most 32 KiB, no dictionary, header divisible by 31; not a length, which ends
        // in zeros.
        [method, flags, rest @ ..]
            if method & 0x8f == 0x08
                && flags & 0x20 == 0
                && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
                && rest.iter().take(LENGTH - 2).any(|&byte| byte != 0) =>
        {
            Compression::Zlib
        }
        _ => Compression::Plain,
    }
}

/// Formats that TFRecord files are mistaken for or packed in, by their first bytes.
fn foreign(head: &[u8]) -> Option<&'static str> {
    const MARKS: [(&[u8], &str); 8] = [
        (b"\x28\xb5\x2f\xfd", "Zstandard, which must be unpacked first"),
        (b"BZh", "bzip2, which must be unpacked first"),
        (b"\xfd7zXZ\0", "xz, which must be unpacked first"),
        (b"\x04\x22\x4d\x18", "LZ4, which must be unpacked first"),
        (b"PK\x03\x04", "a zip archive, which must be unpacked first"),
        (b"PAR1", "Parquet"),
        (b"ARROW1", "Arrow IPC"),
        (b"\x89HDF", "HDF5"),
    ];
    MARKS.iter().find(|(mark, _)| head.starts_with(mark)).map(|&(_, name)| name)
}

fn truncated(found: u64, whole: &str) -> Fault {
    Fault::new(
        "the file ends inside a record",
        format!("{found} bytes of {whole}"),
        "the file was cut off: fetch or write it again",
    )
}

fn unreadable(error: &io::Error) -> Fault {
    if error.raw_os_error().is_some() {
        let right = "check the disk and the right to read it";
        return Fault::new("the file can't be read to its end", error.to_string(), right);
    }
    Fault::new(
        "the compressed data is damaged or cut off, and the rest of the file is lost with it",
        error.to_string(),
        "fetch the file again",
    )
}

/// A file as it is or unpacked on the way.
enum Unpacked<R: Read> {
    Plain(Window<R>),
    Gzip(Box<MultiGzDecoder<Window<R>>>),
    Zlib(Box<ZlibDecoder<Window<R>>>),
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(into),
            Self::Gzip(file) => file.read(into),
            Self::Zlib(file) => file.read(into),
        }
    }
}

/// What has been read and not yet taken. It grows with what has arrived, never ahead of it by more than that.
struct Window<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
}

impl<R: Read> Window<R> {
    fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), start: 0, end: 0, offset: 0 }
    }

    /// The next `count` bytes, fewer at the end of the input.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.end == self.buffer.len() {
                self.buffer.resize((2 * self.buffer.len()).max(CHUNK), 0);
            }
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + count)])
    }

    /// Moves on by `count` bytes, at most those that have been read, and hands them out.
    fn advance(&mut self, count: usize) -> &[u8] {
        let start = self.start;
        self.start = self.end.min(start + count);
        self.offset += (self.start - start) as u64;
        &self.buffer[start..self.start]
    }
}

impl<R: Read> Read for Window<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            return self.input.read(into);
        }
        let taken = self.advance(into.len());
        into[..taken.len()].copy_from_slice(taken);
        Ok(taken.len())
    }
}
