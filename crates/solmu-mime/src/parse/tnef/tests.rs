//! Streams made by hand, whole and broken.

use proptest::prelude::*;

use super::*;

/// An attribute with its checksum.
fn attribute(level: u8, id: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![level];
    bytes.extend(id.to_le_bytes());
    bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    bytes.extend(data);
    let sum = data
        .iter()
        .fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
    bytes.extend(sum.to_le_bytes());
    bytes
}

fn stream(attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_le_bytes().to_vec();
    bytes.extend([1, 0]);
    bytes.extend(attributes.concat());
    bytes
}

/// A property of variable length.
fn varying(kind: u16, id: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend(id.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn list(properties: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = u32::try_from(properties.len())
        .unwrap()
        .to_le_bytes()
        .to_vec();
    bytes.extend(properties.concat());
    bytes
}

/// As Outlook 2016 writes one: code page, text, two files, one with a long name in Unicode.
fn sample() -> Vec<u8> {
    let named = {
        let mut bytes = vec![0x1f, 0x00, 0x01, 0x80];
        bytes.extend([7; 16]);
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(6_u32.to_le_bytes());
        bytes.extend(wide("abc"));
        bytes.extend([0, 0]);
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(4_u32.to_le_bytes());
        bytes.extend(wide("ok"));
        bytes
    };
    let fixed = [0x40, 0, 0x39, 0, 1, 2, 3, 4, 5, 6, 7, 8].to_vec();
    let flag = [0x0b, 0, 0x1b, 0x0e, 1, 0, 0, 0].to_vec();
    stream(&[
        attribute(1, 0x0008_9006, &[0, 0, 1, 0]),
        attribute(1, attribute::CODEPAGE, &[0xe4, 0x04, 0, 0, 0, 0, 0, 0]),
        attribute(
            1,
            attribute::MESSAGE_PROPERTIES,
            &list(&[
                fixed,
                flag,
                named,
                varying(0x1e, tag::BODY, b"P\xe4iv\xe4\xe4\0"),
            ]),
        ),
        attribute(2, attribute::ATTACH_REND_DATA, &[0; 14]),
        attribute(2, attribute::ATTACH_TITLE, b"LASKUP~1.PDF\0"),
        attribute(2, attribute::ATTACH_DATA, b"%PDF-1.4"),
        attribute(
            2,
            attribute::ATTACH_PROPERTIES,
            &list(&[
                varying(0x1f, tag::ATTACH_LONG_NAME, &wide("lasku päivä.pdf\0")),
                varying(0x1e, tag::ATTACH_TYPE, b"application/pdf\0"),
            ]),
        ),
        attribute(2, attribute::ATTACH_REND_DATA, &[0; 14]),
        attribute(2, attribute::ATTACH_TITLE, b"b.txt\0"),
        attribute(2, attribute::ATTACH_DATA, b"b"),
    ])
}

#[test]
fn files_and_text_come_out() {
    let tnef = decode(&sample(), 10).unwrap();
    assert!(tnef.whole);
    assert_eq!(tnef.text, "Päivää");
    let names: Vec<&str> = tnef.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["lasku päivä.pdf", "b.txt"]);
    assert_eq!(tnef.files[0].bytes, b"%PDF-1.4");
    assert_eq!(tnef.files[0].content_type, "application/pdf");
    let one = decode(&sample(), 1).unwrap();
    assert_eq!((one.files.len(), one.whole), (1, false));
    assert_eq!(decode(b"PK\x03\x04 no tnef", 10), None);
}

#[test]
fn a_cut_stream_gives_what_came_before_the_cut() {
    let whole = sample();
    let cut = decode(&whole[..whole.len() - 3], 10).unwrap();
    assert!(!cut.whole);
    assert_eq!(cut.files.len(), 2);
    for end in 0..whole.len() {
        drop(decode(&whole[..end], 10));
    }
}

#[test]
fn messages_within_messages_are_followed_but_not_for_ever() {
    let mut inner = sample();
    for level in 0..8 {
        let mut object = vec![0; CLASS_ID];
        object.extend(&inner);
        inner = stream(&[
            attribute(2, attribute::ATTACH_REND_DATA, &[0; 14]),
            attribute(
                2,
                attribute::ATTACH_PROPERTIES,
                &list(&[varying(0x0d, tag::ATTACH_DATA, &object)]),
            ),
        ]);
        let tnef = decode(&inner, 100).unwrap();
        if level == 0 {
            let names: Vec<&str> = tnef.files.iter().map(|file| file.name.as_str()).collect();
            assert_eq!(names, ["lasku päivä.pdf", "b.txt", "message.txt"]);
            assert_eq!(tnef.files[2].bytes, "Päivää".as_bytes());
        }
        assert!(!tnef.files.is_empty());
    }
}

/// The example of [MS-OXRTFCP] section 4.1.1, and one that refers to itself.
#[test]
fn compressed_rtf_is_unpacked() {
    let packed = [
        0x2d, 0, 0, 0, 0x2b, 0, 0, 0, 0x4c, 0x5a, 0x46, 0x75, 0xf1, 0xc5, 0xc7, 0xa7, 0x03, 0x00,
        0x0a, 0x00, 0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a, 0xf3, 0x20, 0x68,
        0x65, 0x6c, 0x09, 0x00, 0x20, 0x62, 0x77, 0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a, 0x80, 0x0f,
        0xa0,
    ];
    assert_eq!(rtf::text(&packed).as_deref(), Some("hello world"));
    let plain = |text: &str| {
        let mut bytes = vec![0; 4];
        bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        bytes.extend(b"MELA\0\0\0\0");
        bytes.extend(text.as_bytes());
        bytes
    };
    for (given, wanted) in [
        (
            r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 P\'e4iv\'e4\'e4\par \{x\}}",
            Some("Päivää\n{x}"),
        ),
        (
            r"{\rtf1 \u8364?uro \u-3?{\*\generator x;}{\pict 00}}",
            Some("€uro \u{fffd}"),
        ),
        (r"{\rtf1}", None),
        (r"}}}{{{\", None),
    ] {
        assert_eq!(rtf::text(&plain(given)).as_deref(), wanted, "{given}");
    }
    let only_rtf = stream(&[attribute(
        1,
        attribute::MESSAGE_PROPERTIES,
        &list(&[varying(0x0102, tag::RTF, &packed)]),
    )]);
    assert_eq!(decode(&only_rtf, 1).unwrap().text, "hello world");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(decode(&bytes, 3));
        drop(rtf::text(&bytes));
        let mut begun = SIGNATURE.to_le_bytes().to_vec();
        begun.extend(bytes);
        drop(decode(&begun, 3));
    }

    #[test]
    fn no_change_of_a_stream_panics(at in 0_usize..600, byte in any::<u8>()) {
        let mut bytes = sample();
        let at = at % bytes.len();
        bytes[at] = byte;
        drop(decode(&bytes, 3));
    }
}
