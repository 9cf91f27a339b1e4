//! TFRecord files: what was written is read; what is damaged is told by place and cause, never by a panic.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Cursor, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use prime_fast_core::Error;
use prime_fast_core::io::{
    DesignRecords, FEATURES, FLOATS, Feature, Kind, MAX_PAYLOAD, Records, decode, is_tfrecord, masked_crc,
    read_designs,
};
use proptest::prelude::*;

/// A list as the wire has it: packed or value by value.
#[derive(Debug, Clone, PartialEq)]
enum List {
    Bytes(Vec<Vec<u8>>),
    Floats(Vec<f32>, bool),
    Ints(Vec<i64>, bool),
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

impl List {
    fn encoded(&self) -> Vec<u8> {
        match self {
            Self::Bytes(values) => {
                field(1, &values.iter().flat_map(|value| field(1, value)).collect::<Vec<_>>())
            }
            Self::Floats(values, true) => {
                let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                field(2, &field(1, &packed))
            }
            Self::Floats(values, false) => {
                let each =
                    values.iter().flat_map(|value| [vec![0x0d], value.to_le_bytes().to_vec()].concat());
                field(2, &each.collect::<Vec<_>>())
            }
            Self::Ints(values, true) => {
                let packed: Vec<u8> = values.iter().flat_map(|value| varint(value.cast_unsigned())).collect();
                field(3, &field(1, &packed))
            }
            Self::Ints(values, false) => {
                let each =
                    values.iter().flat_map(|value| [vec![0x08], varint(value.cast_unsigned())].concat());
                field(3, &each.collect::<Vec<_>>())
            }
        }
    }

    fn kind_and_count(&self) -> (Kind, usize) {
        match self {
            Self::Bytes(values) => (Kind::Bytes, values.len()),
            Self::Floats(values, _) => (Kind::Float, values.len()),
            Self::Ints(values, _) => (Kind::Int64, values.len()),
        }
    }
}

fn example(features: &[(&str, List)]) -> Vec<u8> {
    let entries = features
        .iter()
        .flat_map(|(name, list)| field(1, &[field(1, name.as_bytes()), field(2, &list.encoded())].concat()));
    field(1, &entries.collect::<Vec<_>>())
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), payload, &masked_crc(payload).to_le_bytes()].concat()
}

/// A design's features, the first parameter given.
fn features(first: f32, infeasible: i64) -> Vec<(&'static str, List)> {
    let float = |value: f32| List::Floats(vec![value], true);
    let mut features: Vec<_> = FEATURES[..FLOATS].iter().map(|&name| (name, float(4.0))).collect();
    features[0].1 = float(first);
    features.push(("infeasible", List::Ints(vec![infeasible], true)));
    features
}

fn design(first: f32) -> Vec<u8> {
    framed(&example(&features(first, 0)))
}

/// A file that goes away with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(content: &[u8]) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("prime-fast-{}-{number}.tfrecord", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn read(files: &[&[u8]], skip_bad: bool, threads: usize) -> Result<DesignRecords, Error> {
    let files: Vec<Temporary> = files.iter().map(|content| Temporary::new(content)).collect();
    let paths: Vec<PathBuf> = files.iter().map(|file| file.0.clone()).collect();
    read_designs(&paths, skip_bad, Some(threads), &AtomicBool::new(false), &mut |_| {})
}

/// The message about a file, without its path.
fn complaint(content: &[u8]) -> String {
    match read(&[content], false, 1) {
        Err(Error::Data(message)) => message.split_once(".tfrecord").unwrap().1.into(),
        other => panic!("{other:?}"),
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zlib(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_checksum_is_the_published_one() {
    // CRC-32C of "123456789" is 0xe3069283 (RFC 3720's Castagnoli polynomial).
    assert_eq!(masked_crc(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    // The header of a record of 24 bytes as TensorFlow's event files begin with.
    assert_eq!(masked_crc(&24_u64.to_le_bytes()).to_le_bytes(), [0xa3, 0x7f, 0x4b, 0x22]);
}

#[test]
fn files_are_read_in_order_by_any_number_of_threads() {
    let contents: Vec<Vec<u8>> = (0..9)
        .map(|file| (0..=file * 7).flat_map(|record| design((100 * file + record) as f32)).collect())
        .collect();
    let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    let one = read(&contents, false, 1).unwrap();
    let wanted: Vec<f32> =
        (0..9).flat_map(|file| (0..=file * 7).map(move |record| (100 * file + record) as f32)).collect();
    assert_eq!(one.floats[0], wanted);
    assert_eq!(one.rows, (0..9).map(|file| file * 7 + 1).collect::<Vec<_>>());
    assert_eq!(one, read(&contents, false, 5).unwrap());
}

#[test]
fn compressed_files_are_read_alike() {
    let content: Vec<u8> = (0..500).flat_map(|record| design(record as f32)).collect();
    let plain = read(&[&content], false, 1).unwrap();
    let members = [gzip(&content[..1000]), gzip(&content[1000..])].concat();
    for packed in [gzip(&content), zlib(&content), members] {
        assert_eq!(plain, read(&[&packed], false, 1).unwrap());
        assert!(is_tfrecord(Cursor::new(&packed)));
        let cut = &packed[..packed.len() / 2];
        assert!(complaint(cut).contains("once unpacked: the compressed data is damaged or cut off"));
    }
}

#[test]
fn runtimes_of_infeasible_designs_are_placeholders() {
    let mut record = features(8.0, 1);
    record[FLOATS - 2].1 = List::Floats(vec![f32::INFINITY], true);
    let read = read(&[&framed(&example(&record))], false, 1).unwrap();
    assert!(read.infeasible[0] && read.floats[FLOATS - 2][0].is_nan());
    assert_eq!(read.floats[0], [8.0]);
}

#[test]
fn other_features_are_ignored_and_named() {
    let mut record = features(8.0, 0);
    record.push(("seed", List::Ints(vec![1, 2], true)));
    record.push(("param_11", List::Bytes(vec![])));
    let ignored = read(&[&framed(&example(&record))], false, 1).unwrap().ignored;
    assert_eq!(ignored.iter().collect::<Vec<_>>(), ["\"param_11\"", "\"seed\""]);
}

/// A good record, then one with another list for a feature, or without the feature.
fn after_a_good_one(name: &str, list: Option<List>) -> Vec<u8> {
    let mut record = features(4.0, 0);
    match list {
        Some(list) => record.iter_mut().find(|(known, _)| *known == name).unwrap().1 = list,
        None => record.retain(|(known, _)| *known != name),
    }
    [design(4.0), framed(&example(&record))].concat()
}

#[test]
fn no_tfrecord_file_is_told_as_such() {
    let table = b"param_1,param_2\n";
    for (content, wanted) in [
        (vec![], ": the file is empty"),
        (gzip(b""), ": the file is empty once unpacked"),
        (table.to_vec(), r#": not a TFRecord file: found a file that starts with "param_1,para""#),
        (
            gzip(table),
            ": not a TFRecord file: found a compressed file that starts with \"param_1,para\" once",
        ),
        (b"PAR1............".to_vec(), ": not a TFRecord file: found a file that starts as Parquet"),
        (
            b"\x28\xb5\x2f\xfd........".to_vec(),
            ": not a TFRecord file: found a file that starts as Zstandard",
        ),
        (design(4.0)[..5].to_vec(), ": not a TFRecord file: found"),
    ] {
        let found = complaint(&content);
        assert!(found.starts_with(wanted), "{found}\n{wanted}");
    }
}

#[test]
fn damage_is_told_by_place_and_cause() {
    let good = design(4.0);
    let size = good.len();
    let flipped = |position: usize| {
        let mut content = [&good[..], &good, &good].concat();
        content[size + position] ^= 1;
        content
    };
    let after = |more: &[u8]| [&good, more].concat();
    let length = (MAX_PAYLOAD + 1).to_le_bytes();
    let long = [&length[..], &masked_crc(&length).to_le_bytes()].concat();
    for (content, wanted) in [
        (after(&good[..5]), "the file ends inside a record: found 5 bytes of the record's header of 12"),
        (after(&good[..100]), "the file ends inside a record: found 100 bytes of the record's"),
        (flipped(0), "wrong CRC of a record's length, and the rest of the file is lost with it: found 0x"),
        (flipped(9), "wrong CRC of a record's length"),
        (flipped(12), "wrong CRC of a record's payload: found 0x"),
        (flipped(size - 1), "wrong CRC of a record's payload"),
        (after(&long), "a record is too long"),
        (after(&framed(b"\x0a\x05ab")), "the payload is no tf.train.Example: found a field that goes on"),
        (after(&framed(b"\x0b")), "the payload is no tf.train.Example: found a group"),
        (after(&framed(b"")), "a record lacks `infeasible`: found none of its features; a record needs"),
    ] {
        let (found, wanted) = (complaint(&content), format!(", record 2 at byte {size}: {wanted}"));
        assert!(found.starts_with(&wanted), "{found}\n{wanted}");
    }
}

#[test]
fn unusable_features_are_told_by_place_and_cause() {
    let size = design(4.0).len();
    let floats = |values: &[f32]| Some(List::Floats(values.to_vec(), true));
    let ints = |values: &[i64]| Some(List::Ints(values.to_vec(), true));
    for (name, list, wanted) in [
        ("param_3", None, "a record lacks `param_3`: found param_1, param_2, param_4"),
        ("runtime", None, "a record lacks `runtime`"),
        ("area", ints(&[3]), "`area` is not a float list: found an int64 list"),
        (
            "param_1",
            Some(List::Bytes(vec![b"4".to_vec()])),
            "`param_1` is not a float list: found a bytes list",
        ),
        ("infeasible", floats(&[0.0]), "`infeasible` is not an int64 list: found a float list"),
        ("infeasible", ints(&[2]), "`infeasible` is neither 0 nor 1: found 2; 0 marks a feasible"),
        ("infeasible", ints(&[-1]), "`infeasible` is neither 0 nor 1: found -1"),
        ("param_2", floats(&[1.0, 2.0]), "`param_2` is no list of length 1: found length 2"),
        ("param_2", floats(&[]), "`param_2` is no list of length 1: found length 0"),
        ("param_10", floats(&[f32::NAN]), "`param_10` is not finite: found NaN"),
        ("area", floats(&[f32::INFINITY]), "`area` is not finite: found inf"),
        ("runtime", floats(&[f32::NAN]), "`runtime` is not finite: found NaN"),
    ] {
        let found = complaint(&after_a_good_one(name, list));
        let wanted = format!(", record 2 at byte {size}: {wanted}");
        assert!(found.starts_with(&wanted), "{found}\n{wanted}");
    }
}

#[test]
fn bad_records_are_skipped_counted_and_named() {
    let (good, size) = (design(4.0), design(4.0).len() as u64);
    let mut damaged = good.clone();
    damaged[20] ^= 1;
    let end = &good[..7];
    let first = [&good, &damaged, &good, &damaged, &good, end].concat();
    let mut lost = [&good[..], &good, &good].concat();
    lost[good.len()] ^= 1;
    let found = read(&[&first, b"", &lost], true, 2).unwrap();
    assert_eq!(found.rows, [3, 0, 1]);
    let told: Vec<_> = found
        .bad
        .iter()
        .map(|bad| {
            let places = bad.examples.iter().map(|&(number, offset, _)| (number, offset)).collect::<Vec<_>>();
            (bad.file, bad.problem.split(',').next().unwrap(), bad.count, places)
        })
        .collect();
    assert_eq!(
        told,
        [
            (0, "wrong CRC of a record's payload", 2, vec![(2, size), (4, 3 * size)]),
            (0, "the file ends inside a record", 1, vec![(6, 5 * size)]),
            (1, "the file is empty", 1, vec![(0, 0)]),
            (2, "wrong CRC of a record's length", 1, vec![(2, size)]),
        ]
    );
}

#[test]
fn the_first_bad_file_is_named_whatever_the_threads() {
    let good: Vec<u8> = (0..2000).flat_map(|record| design(record as f32)).collect();
    let late = [&good[..], &good[..9]].concat();
    for threads in [1, 4] {
        let error = read(&[&good, &late, b"", b"x"], false, threads).unwrap_err().to_string();
        assert!(error.contains("record 2001 at byte"), "{error}");
    }
}

#[test]
fn reading_stops_when_asked() {
    let file = Temporary::new(&design(4.0));
    let paths = vec![file.0.clone(); 100];
    let found = read_designs(&paths, false, Some(2), &AtomicBool::new(true), &mut |_| {}).unwrap();
    assert!(found.stopped);
}

#[test]
fn what_a_length_claims_is_not_set_aside_in_memory() {
    /// Hands out a header that claims 16 MiB, then nothing; checks how much it is asked for.
    struct Claim(Vec<u8>, usize);
    impl Read for Claim {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.1 = self.1.max(into.len());
            assert!(into.len() <= 1 << 20);
            let count = self.0.len().min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }
    let length = MAX_PAYLOAD.to_le_bytes();
    let claim = Claim([&length[..], &masked_crc(&length).to_le_bytes()].concat(), 0);
    let mut records = Records::new(claim).unwrap();
    assert_eq!(records.next().unwrap_err().problem, "the file ends inside a record");
}

fn lists() -> impl Strategy<Value = List> {
    prop_oneof![
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..4).prop_map(List::Bytes),
        (prop::collection::vec(any::<f32>(), 0..4), any::<bool>())
            .prop_map(|(v, packed)| List::Floats(v, packed)),
        (prop::collection::vec(any::<i64>(), 0..4), any::<bool>())
            .prop_map(|(v, packed)| List::Ints(v, packed)),
    ]
}

/// All that a reader does with a file in memory: counts records and fails, or not, without a panic.
fn walk(content: &[u8]) -> (usize, bool) {
    let Ok(mut records) = Records::new(Cursor::new(content)) else { return (0, true) };
    let mut count = 0;
    loop {
        match records.next() {
            Ok(None) => return (count, false),
            Ok(Some(record)) => {
                count += 1;
                if let Ok(payload) = record.payload {
                    let _ = decode(payload, |_, _| {});
                }
            }
            Err(_) => return (count, true),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn what_was_encoded_is_decoded(features in prop::collection::vec(("[a-z_0-9]{0,12}", lists()), 0..6)) {
        let named: Vec<_> = features.iter().map(|(name, list)| (name.as_str(), list.clone())).collect();
        let payload = example(&named);
        let mut found: Vec<(Vec<u8>, Feature)> = Vec::new();
        decode(&payload, |name, feature| found.push((name.to_vec(), feature))).unwrap();
        prop_assert_eq!(found.len(), named.len());
        for ((name, list), (found_name, feature)) in named.iter().zip(&found) {
            prop_assert_eq!(name.as_bytes(), found_name.as_slice());
            let (kind, count) = list.kind_and_count();
            prop_assert_eq!((feature.kind, feature.count), (Some(kind), count));
            if let (List::Floats(values, _), 1) = (list, count) {
                prop_assert_eq!(feature.float().map(f32::to_bits), Some(values[0].to_bits()));
            }
            if let (List::Ints(values, _), 1) = (list, count) {
                prop_assert_eq!(feature.int64(), Some(values[0]));
            }
        }
    }

    #[test]
    fn what_was_framed_is_read(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20),
    ) {
        let content: Vec<u8> = payloads.iter().flat_map(|payload| framed(payload)).collect();
        for content in [content.clone(), gzip(&content), zlib(&content)] {
            let mut records = Records::new(Cursor::new(content)).unwrap();
            for payload in &payloads {
                let record = records.next().unwrap().unwrap();
                prop_assert_eq!(record.payload.unwrap(), payload.as_slice());
            }
            prop_assert!(records.next().unwrap().is_none());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(content in prop::collection::vec(any::<u8>(), 0..400)) {
        walk(&content);
        let _ = decode(&content, |_, _| {});
        // Behind a right checksum, and behind the marks of compression.
        walk(&framed(&content));
        walk(&gzip(&content));
        walk(&[&[0x1f, 0x8b, 8, 0][..], &content].concat());
        walk(&[&[0x78, 0x9c][..], &content].concat());
    }

    #[test]
    fn a_flipped_bit_is_found(bit in 0_usize..8 * 2000, at in 0_usize..3) {
        let content: Vec<u8> = (0..5).flat_map(|record| design(record as f32)).collect();
        let content = match at { 0 => content, 1 => gzip(&content), _ => zlib(&content) };
        let bit = bit % (8 * content.len());
        let mut damaged = content.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        walk(&damaged);
        let read = read(&[&damaged], true, 1).unwrap();
        let lost = read.rows[0] < 5;
        // A bit of a compressed file's header or of its last checksum may go without loss.
        prop_assert!(lost != read.bad.is_empty() || at > 0);
        prop_assert!(read.floats[0].iter().all(|&first| first < 5.0 && first.fract() == 0.0));
    }

    #[test]
    fn a_payload_with_a_flipped_bit_is_read_or_refused(bit in 0_usize..8 * 400, also in 0_usize..8 * 400) {
        let mut payload = example(&features(4.0, 0));
        for bit in [bit, also] {
            let bit = bit % (8 * payload.len());
            payload[bit / 8] ^= 1 << (bit % 8);
        }
        // The checksum is right: nothing but the decoder stands in the way.
        let read = read(&[&framed(&payload)], true, 1).unwrap();
        prop_assert_eq!(read.rows[0] + read.bad.len(), 1);
    }

    #[test]
    fn a_file_cut_anywhere_keeps_what_is_whole(cut in 1_usize..5 * 300) {
        let size = design(0.0).len();
        let content: Vec<u8> = (0..5).flat_map(|record| design(record as f32)).collect();
        let cut = cut.min(content.len());
        let read = read(&[&content[..cut]], true, 1).unwrap();
        prop_assert_eq!(read.rows[0], cut / size);
        prop_assert_eq!(read.bad.len(), usize::from(cut % size != 0));
    }
}
