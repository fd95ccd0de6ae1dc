//! Lists of MAPI properties ([MS-OXTNEF] section 2.1.3.4).

use super::super::encoding::to_text;

/// Properties of one list.
const PROPERTIES_MAX: u32 = 4_096;
/// Values of one property.
const VALUES_MAX: u32 = 4_096;
/// First id of properties that are known by a name.
const NAMED: u16 = 0x8000;
/// Bit of a type with several values.
const MULTIPLE: u16 = 0x1000;
/// Bytes of a GUID.
const GUID: usize = 16;

/// Bytes that are read from the front.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take(2)
            .map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)
            .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A length, so many bytes, and what fills them up to a multiple of four.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let bytes = self.take(length)?;
        let padding = length.next_multiple_of(4) - length;
        // The last one of a list may lack it.
        self.take(padding.min(self.0.len()))?;
        Some(bytes)
    }
}

/// The value of a property, the first one if there are several.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// A 32-bit number.
    Number(u32),
    /// Text in the message's code page.
    Narrow(&'a [u8]),
    /// Text in UTF-16.
    Wide(&'a [u8]),
    Binary(&'a [u8]),
    Object(&'a [u8]),
    Other,
}

impl Value<'_> {
    pub(super) fn text(&self, charset: &str) -> String {
        match self {
            Self::Narrow(bytes) | Self::Binary(bytes) => to_text(bytes, charset),
            Self::Wide(bytes) => {
                let units = bytes
                    .chunks_exact(2)
                    .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
                char::decode_utf16(units)
                    .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect()
            }
            Self::Number(_) | Self::Object(_) | Self::Other => String::new(),
        }
    }
}

/// A property that is known by its number.
#[derive(Debug)]
pub(super) struct Property<'a> {
    pub(super) id: u16,
    pub(super) value: Value<'a>,
}

/// Hands each property of a list to `take`. `None` if the list is broken; what came before was handed over.
pub(super) fn read<'a>(bytes: &'a [u8], mut take: impl FnMut(&Property<'a>)) -> Option<()> {
    let mut reader = Reader::new(bytes);
    let count = reader.u32()?;
    if count > PROPERTIES_MAX {
        return None;
    }
    for _ in 0..count {
        let kind = reader.u16()?;
        let id = reader.u16()?;
        if id >= NAMED {
            skip_name(&mut reader)?;
        }
        let value = value(kind, &mut reader)?;
        if id < NAMED {
            take(&Property { id, value });
        }
    }
    Some(())
}

fn skip_name(reader: &mut Reader<'_>) -> Option<()> {
    reader.take(GUID)?;
    if reader.u32()? == 0 {
        reader.u32()?;
    } else {
        reader.counted()?;
    }
    Some(())
}

fn value<'a>(kind: u16, reader: &mut Reader<'a>) -> Option<Value<'a>> {
    let single = kind & !MULTIPLE;
    let varying = matches!(single, 0x000d | 0x001e | 0x001f | 0x0102);
    let count = if varying || kind & MULTIPLE != 0 {
        reader.u32()?
    } else {
        1
    };
    if count > VALUES_MAX {
        return None;
    }
    let mut first = None;
    for _ in 0..count {
        let value = one_value(single, reader)?;
        first.get_or_insert(value);
    }
    Some(first.unwrap_or(Value::Other))
}

/// One value of a type ([MS-OXCDATA] section 2.11.1); the short ones fill four bytes.
fn one_value<'a>(kind: u16, reader: &mut Reader<'a>) -> Option<Value<'a>> {
    Some(match kind {
        0x0000 | 0x0001 => Value::Other,
        0x0002 | 0x0003 | 0x0004 | 0x000a | 0x000b => Value::Number(reader.u32()?),
        0x0005 | 0x0006 | 0x0007 | 0x0014 | 0x0040 => {
            reader.take(8)?;
            Value::Other
        }
        0x0048 => {
            reader.take(GUID)?;
            Value::Other
        }
        0x000d => Value::Object(reader.counted()?),
        0x001e => Value::Narrow(reader.counted()?),
        0x001f => Value::Wide(reader.counted()?),
        0x0102 => Value::Binary(reader.counted()?),
        // A type that nobody knows has a length that nobody knows.
        _ => return None,
    })
}
