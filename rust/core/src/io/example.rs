//! The protocol buffer `tf.train.Example`, decoded in place.
//!
//! ```proto
//! message Example   { Features features = 1; }
//! message Features  { map<string, Feature> feature = 1; }  // of entries { key = 1; value = 2; }
//! message Feature   { oneof kind {
//!     BytesList bytes_list = 1; FloatList float_list = 2; Int64List int64_list = 3; } }
//! message BytesList { repeated bytes value = 1; }
//! message FloatList { repeated float value = 1 [packed = true]; }
//! message Int64List { repeated int64 value = 1 [packed = true]; }
//! ```
//!
//! As in any decoder of protocol buffers, lists may come packed or not, fields that are not known are
//! skipped, and of a key that comes twice the last one counts. Groups, which the message never has, are an
//! error.

/// What a feature is a list of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Byte strings.
    Bytes,
    /// 32-bit floating-point numbers.
    Float,
    /// 64-bit integers.
    Int64,
}

impl Kind {
    /// The kind with its article.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "a bytes list",
            Self::Float => "a float list",
            Self::Int64 => "an int64 list",
        }
    }
}

/// A feature: its kind, how many values it lists, and the last of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Feature {
    /// None where the feature is empty.
    pub kind: Option<Kind>,
    /// Values in the list.
    pub count: usize,
    bits: u64,
}

impl Feature {
    /// The only value of a float list.
    #[must_use]
    pub fn float(self) -> Option<f32> {
        (self.kind == Some(Kind::Float) && self.count == 1).then(|| f32::from_bits(self.bits as u32))
    }

    /// The only value of an int64 list.
    #[must_use]
    pub fn int64(self) -> Option<i64> {
        (self.kind == Some(Kind::Int64) && self.count == 1).then(|| self.bits.cast_signed())
    }

    fn add(&mut self, kind: Kind, count: usize, bits: u64) {
        // Of a oneof the last member counts; a list that comes in parts is one list.
        if self.kind != Some(kind) {
            *self = Self { kind: Some(kind), ..Self::default() };
        }
        self.count += count;
        if count > 0 {
            self.bits = bits;
        }
    }
}

/// Hands each feature's name and values to `take`, in the order of the payload, where a name may come again.
/// Fails with what is wrong with the payload.
pub fn decode<'a>(payload: &'a [u8], mut take: impl FnMut(&'a [u8], Feature)) -> Result<(), &'static str> {
    let mut example = Fields(payload);
    while let Some(field) = example.next()? {
        let (1, Value::Bytes(features)) = field else { continue };
        let mut features = Fields(features);
        while let Some(field) = features.next()? {
            let (1, Value::Bytes(entry)) = field else { continue };
            let (mut entry, mut name, mut feature) = (Fields(entry), &[][..], Feature::default());
            while let Some(field) = entry.next()? {
                match field {
                    (1, Value::Bytes(key)) => name = key,
                    (2, Value::Bytes(value)) => add_lists(value, &mut feature)?,
                    _ => {}
                }
            }
            take(name, feature);
        }
    }
    Ok(())
}

fn add_lists(message: &[u8], feature: &mut Feature) -> Result<(), &'static str> {
    let mut lists = Fields(message);
    while let Some(field) = lists.next()? {
        let (kind, list) = match field {
            (1, Value::Bytes(list)) => (Kind::Bytes, list),
            (2, Value::Bytes(list)) => (Kind::Float, list),
            (3, Value::Bytes(list)) => (Kind::Int64, list),
            _ => continue,
        };
        feature.add(kind, 0, 0);
        let mut values = Fields(list);
        while let Some(field) = values.next()? {
            match (kind, field) {
                (Kind::Bytes, (1, Value::Bytes(_))) => feature.add(kind, 1, 0),
                (Kind::Float, (1, Value::Fixed32(bits))) => feature.add(kind, 1, bits.into()),
                (Kind::Float, (1, Value::Bytes(packed))) => {
                    let (floats, rest) = packed.as_chunks::<4>();
                    if !rest.is_empty() {
                        return Err("a float list whose bytes are no multiple of 4");
                    }
                    let last = floats.last().map_or(0, |&bytes| u32::from_le_bytes(bytes));
                    feature.add(kind, floats.len(), last.into());
                }
                (Kind::Int64, (1, Value::Varint(bits))) => feature.add(kind, 1, bits),
                (Kind::Int64, (1, Value::Bytes(packed))) => {
                    let mut packed = Fields(packed);
                    while !packed.0.is_empty() {
                        let bits = packed.varint()?;
                        feature.add(kind, 1, bits);
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A field's value as it stands on the wire.
enum Value<'a> {
    Varint(u64),
    Fixed64,
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message that are still to come.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Number and value of the next field.
    fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, &'static str> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| "a field number beyond 2^29")?;
        if tag >> 3 == 0 {
            return Err("a field of number 0");
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.bytes(8)?;
                Value::Fixed64
            }
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => {
                let bytes = self.bytes(4)?.first_chunk().ok_or(CUT_OFF)?;
                Value::Fixed32(u32::from_le_bytes(*bytes))
            }
            3 | 4 => return Err("a group, which no tf.train.Example has"),
            _ => return Err("a field of a type that protocol buffers don't have"),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0;
        for (position, &byte) in self.0.iter().take(10).enumerate() {
            // Of the tenth byte one bit fits; as elsewhere the others don't matter.
            value |= u64::from(byte & 0x7f) << (7 * position);
            if byte < 0x80 {
                self.0 = &self.0[position + 1..];
                return Ok(value);
            }
        }
        Err(if self.0.len() < 10 { CUT_OFF } else { "an integer of more than 10 bytes" })
    }

    fn bytes(&mut self, count: u64) -> Result<&'a [u8], &'static str> {
        let count = usize::try_from(count).map_err(|_| CUT_OFF)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(taken)
    }
}

const CUT_OFF: &str = "a field that goes on beyond its message";
