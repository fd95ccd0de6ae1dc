//! Texts of customers, good and bad.

use super::*;

#[test]
fn nul_and_carriage_returns_go() {
    assert_eq!(clean("a\0b\r\nc\rd\n"), "ab\nc\nd\n");
    assert!(matches!(clean("plain ä\n"), Cow::Borrowed(_)));
}

#[test]
fn scripts_styles_and_handlers_go() {
    let html = sanitise_html(
        "<p onclick=\"x()\">Hei <b>Aino</b><script>alert(1)</script><style>p{}</style>\
         <a href=\"javascript:x()\">a</a><iframe src=\"https://x\"></iframe><form><input></form></p>",
    );
    assert_eq!(
        html,
        "<p>Hei <b>Aino</b><a rel=\"noopener noreferrer nofollow\">a</a></p><p></p>"
    );
}

#[test]
fn remote_images_are_kept_but_do_not_load() {
    let html = sanitise_html(
        "<img src=\"https://t.example/p.gif\" alt=\"a\"><img src=\"CID:1@x\"><img src=\"data:image/png;base64,AA\">",
    );
    assert!(
        html.contains("data-src=\"https://t.example/p.gif\""),
        "{html}"
    );
    assert!(html.contains(" src=\"CID:1@x\""), "{html}");
    assert!(!html.contains("base64"), "{html}");
}

#[test]
fn the_mark_of_remote_images_cannot_be_smuggled_in() {
    let html =
        sanitise_html("x src=\"x-solmu-remote:y <img src=\"x-solmu-remote:https://e.example/\">");
    assert!(!html.contains(" src=\"https"), "{html}");
    assert!(!html.contains(REMOTE_MARK), "{html}");
}

#[test]
fn html_becomes_readable_text() {
    let text = html_to_text(
        "<div>Hei,</div><p>kaksi &amp; <i>kolme</i></p><blockquote>vanha</blockquote><ul><li>yksi</ul>",
    );
    assert_eq!(text, "Hei,\n\nkaksi & kolme\n\n> vanha\n* yksi");
}

#[test]
fn tables_are_read_cell_by_cell() {
    let text = html_to_text(
        "<table><tr><td><table><tr><td>Hei</td><td>Aino</td></tr></table></td></tr><tr><td>loppu</td></tr></table>",
    );
    assert_eq!(text, "Hei\nAino\nloppu");
}

#[test]
fn deep_html_neither_panics_nor_loses_the_text() {
    for (open, close, depth) in [
        ("<table><tr><td>", "</td></tr></table>", 60),
        ("<div>", "</div>", 20_000),
    ] {
        let html = format!("{}ydin{}", open.repeat(depth), close.repeat(depth));
        assert!(html_to_text(&html).contains("ydin"));
        assert!(sanitise_html(&html).contains("ydin"));
    }
}

#[test]
fn language_is_guessed_only_when_sure() {
    assert_eq!(
        language("Hei, tilaamani paketti ei ole vieläkään saapunut. Voisitteko selvittää asian?"),
        Some("fi")
    );
    assert_eq!(
        language("Hej, min beställning har fortfarande inte kommit fram. Kan ni hjälpa mig?"),
        Some("sv")
    );
    assert_eq!(
        language("Hello, the parcel I ordered has not arrived yet. Could you please look into it?"),
        Some("en")
    );
    assert_eq!(language("ok"), None);
    assert_eq!(
        language("Guten Tag, meine Bestellung ist noch nicht angekommen. Können Sie mir helfen?"),
        Some("de")
    );
    assert_ne!(
        language("Hej, jeg har ikke fået min ordre endnu. Kan I hjælpe mig med at finde den?"),
        Some("sv")
    );
    assert_eq!(language("12345 67890 12345 67890 ..."), None);
}

#[test]
fn cuts_lie_between_characters() {
    assert_eq!(truncate_bytes("aää", 2), "a");
    assert_eq!(truncate_chars("aää", 2), "aä");
    assert_eq!(truncate_chars("a", 2), "a");
    let mut text = "aää".to_owned();
    assert!(shorten(&mut text, 4));
    assert_eq!(text, "aä");
    assert!(!shorten(&mut text, 4));
}

#[test]
fn split_loses_nothing_and_keeps_the_limit() {
    let text = format!("{} 😀😀😀\n{}", "sana ".repeat(30), "x".repeat(95));
    let parts = split(&text, 40);
    assert_eq!(parts.concat(), text);
    assert!(
        parts
            .iter()
            .all(|part| !part.is_empty() && part.encode_utf16().count() <= 40)
    );
    assert!(parts[0].ends_with(' '));
    assert_eq!(split("short", 40), ["short"]);
    assert!(split("", 40).is_empty());
}

/// The serializer of html5ever 0.40 looks at the rest of a text for each `&` in it.
#[test]
fn a_text_of_nothing_but_entities_is_written_at_once() {
    let html = sanitise_html(&"<p>&amp;x\u{a0}".repeat(2_000));
    assert!(html.starts_with("<p>&amp;x&nbsp;</p>"), "{html}");
    let long = sanitise_html(&"&amp;x".repeat(170_000));
    assert!(long.starts_with("<pre>&amp;x"), "{}", &long[..40]);
}

/// A stroke at each of 300 levels took half a minute.
#[test]
fn what_is_struck_out_is_plain_text() {
    assert_eq!(html_to_text("<p>a <s>b <del>c</del></s></p>"), "a b c");
    let deep = format!("{}{}", "<s>".repeat(300), "ydin ".repeat(2_000));
    assert!(!html_to_text(&deep).contains('\u{336}'));
}
