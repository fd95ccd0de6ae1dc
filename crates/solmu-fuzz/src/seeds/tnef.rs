//! Streams of `winmail.dat`, put together attribute by attribute ([MS-OXTNEF]).

use crate::chance::Chance;

const SIGNATURE: u32 = 0x223e_9f78;
const BODY: u32 = 0x0002_800c;
const ATTACH_DATA: u32 = 0x0006_800f;
const ATTACH_TITLE: u32 = 0x0001_8010;
const ATTACH_REND_DATA: u32 = 0x0006_9002;
const MESSAGE_PROPERTIES: u32 = 0x0006_9003;
const ATTACH_PROPERTIES: u32 = 0x0006_9005;
const CODEPAGE: u32 = 0x0006_9007;

/// Attributes that a stream is made of.
const ATTRIBUTES: [u32; 9] = [
    BODY,
    ATTACH_DATA,
    ATTACH_TITLE,
    ATTACH_REND_DATA,
    MESSAGE_PROPERTIES,
    ATTACH_PROPERTIES,
    CODEPAGE,
    0x0008_9006,
    0x0001_8004,
];
/// Properties that somebody looks at, and one that nobody does.
const PROPERTIES: [u16; 10] = [
    0x1000, 0x1009, 0x1013, 0x3fde, 0x3701, 0x3704, 0x3707, 0x370e, 0x3712, 0x8001,
];
/// Types of properties, single and multiple.
const TYPES: [u16; 16] = [
    0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x000a, 0x000b, 0x000d, 0x0014, 0x001e, 0x001f, 0x0040,
    0x0048, 0x0102, 0x101e, 0x1102,
];
/// A compressed RTF of nothing but text that is not compressed ([MS-OXRTFCP]).
const RTF_BODY: &str =
    "{\\rtf1\\ansi\\fromhtml1 {\\*\\htmltag64 <p>}Hei {\\*\\htmltag72 </p>}\\par}";

/// Streams to begin with.
pub(crate) fn streams() -> Vec<Vec<u8>> {
    let file = [
        attribute(ATTACH_REND_DATA, &[0; 14]),
        attribute(ATTACH_TITLE, b"a.txt\0"),
        attribute(ATTACH_DATA, b"content"),
    ]
    .concat();
    let text = attribute(BODY, b"Hello\0");
    let html = properties(&[property(0x0102, 0x1013, &variable(b"<p>Hei</p>"))]);
    let rtf = properties(&[property(0x0102, 0x1009, &variable(&stored_rtf(RTF_BODY)))]);
    let packed = properties(&[property(0x0102, 0x1009, &variable(&packed_rtf()))]);
    let inner = [&[0; 16][..], &framed(&file)].concat();
    let nested = properties(&[property(0x000d, 0x3701, &variable(&inner))]);
    let codepage = attribute(CODEPAGE, &[0xe4, 0x04, 0, 0, 0, 0, 0, 0]);
    vec![
        framed(&[text.clone(), file.clone()].concat()),
        framed(&[codepage, attribute(MESSAGE_PROPERTIES, &html), file.clone()].concat()),
        framed(&attribute(MESSAGE_PROPERTIES, &rtf)),
        framed(&attribute(MESSAGE_PROPERTIES, &packed)),
        framed(
            &[
                attribute(ATTACH_REND_DATA, &[0; 14]),
                attribute(ATTACH_PROPERTIES, &nested),
            ]
            .concat(),
        ),
    ]
}

/// A stream of random attributes.
pub(crate) fn stream(chance: &mut Chance) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..chance.below(8) {
        body.extend(random_attribute(chance, 0));
    }
    framed(&body)
}

fn random_attribute(chance: &mut Chance, depth: usize) -> Vec<u8> {
    let id = *chance.pick(&ATTRIBUTES);
    let data = match id {
        MESSAGE_PROPERTIES | ATTACH_PROPERTIES => {
            let list: Vec<Vec<u8>> = (0..chance.below(6))
                .map(|_| random_property(chance, depth))
                .collect();
            let mut data = properties(&list);
            if chance.once_in(6) {
                data[0] = chance.byte();
            }
            data
        }
        _ => random_bytes(chance),
    };
    let mut bytes = attribute(id, &data);
    if chance.once_in(8) {
        // A length that lies.
        let place = 5 + chance.below(4);
        bytes[place] = chance.byte();
    }
    bytes
}

fn random_property(chance: &mut Chance, depth: usize) -> Vec<u8> {
    let (kind, id) = (*chance.pick(&TYPES), *chance.pick(&PROPERTIES));
    let value = match kind & 0x0fff {
        0x0002 | 0x0003 | 0x0004 | 0x000a | 0x000b => vec![chance.byte(); 4],
        0x0005 | 0x0006 | 0x0014 | 0x0040 => vec![chance.byte(); 8],
        0x0048 => vec![chance.byte(); 16],
        0x000d if depth < 6 => {
            let inner = random_attribute(chance, depth + 1);
            variable(&[&[0; 16][..], &framed(&inner)].concat())
        }
        0x0102 if id == 0x1009 => variable(&random_rtf(chance)),
        _ => variable(&random_bytes(chance)),
    };
    property(kind, id, &value)
}

fn random_rtf(chance: &mut Chance) -> Vec<u8> {
    let content = random_bytes(chance);
    let mut bytes = if chance.once_in(3) {
        stored_rtf(RTF_BODY)
    } else {
        rtf(*b"LZFu", content.len() + chance.below(100), &content)
    };
    if chance.once_in(4) {
        let at = chance.below(bytes.len());
        bytes[at] = chance.byte();
    }
    bytes
}

fn random_bytes(chance: &mut Chance) -> Vec<u8> {
    let length = chance.length(2_000);
    let plain = chance.once_in(2);
    (0..length)
        .map(|_| {
            if plain {
                b'a' + chance.byte() % 26
            } else {
                chance.byte()
            }
        })
        .collect()
}

fn framed(attributes: &[u8]) -> Vec<u8> {
    [&SIGNATURE.to_le_bytes()[..], &[1, 0], attributes].concat()
}

fn length_of(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}

fn attribute(id: u32, data: &[u8]) -> Vec<u8> {
    let sum = data
        .iter()
        .fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
    [
        &[1][..],
        &id.to_le_bytes(),
        &length_of(data),
        data,
        &sum.to_le_bytes(),
    ]
    .concat()
}

fn properties(list: &[Vec<u8>]) -> Vec<u8> {
    let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
    [&count.to_le_bytes()[..], &list.concat()].concat()
}

fn property(kind: u16, id: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &id.to_le_bytes(), value].concat()
}

/// One value of changing length, padded to four bytes.
fn variable(bytes: &[u8]) -> Vec<u8> {
    let padding = (4 - bytes.len() % 4) % 4;
    [
        &1_u32.to_le_bytes()[..],
        &length_of(bytes),
        bytes,
        &[0; 4][..padding],
    ]
    .concat()
}

fn stored_rtf(text: &str) -> Vec<u8> {
    rtf(*b"MELA", text.len(), text.as_bytes())
}

/// The example of [MS-OXRTFCP] section 4.1.1: `{\rtf1\ansi\ansicpg1252\pard hello world}`.
fn packed_rtf() -> Vec<u8> {
    let content = [
        0x03, 0x00, 0x0a, 0x00, 0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a, 0xf3,
        0x20, 0x68, 0x65, 0x6c, 0x09, 0x00, 0x20, 0x62, 0x77, 0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a,
        0x80, 0x0f, 0xa0,
    ];
    rtf(*b"LZFu", 43, &content)
}

fn rtf(kind: [u8; 4], size: usize, content: &[u8]) -> Vec<u8> {
    let packed = u32::try_from(content.len() + 12).unwrap_or(u32::MAX);
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    [
        &packed.to_le_bytes()[..],
        &size.to_le_bytes(),
        &kind,
        &[0; 4],
        content,
    ]
    .concat()
}
