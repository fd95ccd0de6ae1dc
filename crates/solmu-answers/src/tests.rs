//! Answers that are taken, and those that are not.

use super::*;

const LIMITS: Limits = Limits {
    text_bytes: 100,
    files: 2,
    file_bytes: 10,
};

fn file(filename: &str, content_type: &str, content_id: &str, size: usize) -> NewFile {
    NewFile {
        filename: filename.to_owned(),
        content_type: content_type.to_owned(),
        content_id: content_id.to_owned(),
        bytes: vec![7; size],
    }
}

fn refused(text: &str, html: &str, files: Vec<NewFile>) -> Refused {
    check(text, html, files, LIMITS).unwrap_err()
}

#[test]
fn html_is_made_safe_and_makes_the_text() {
    let html = "<p onclick='x()'>Hei <b>Aino</b></p><script>y()</script>";
    let answer = check("", html, Vec::new(), LIMITS).unwrap();
    assert_eq!(answer.html, "<p>Hei <b>Aino</b></p>");
    assert_eq!(answer.text, "Hei Aino");
    let both = check(" own text\r\n", "<i>x</i>", Vec::new(), LIMITS).unwrap();
    assert_eq!(
        (both.text.as_str(), both.html.as_str()),
        ("own text", "<i>x</i>")
    );
    let remote = "<img src=\"https://spy.example/1.gif\">x";
    let answer = check("", remote, Vec::new(), LIMITS).unwrap();
    assert!(!answer.html.contains(" src="), "{}", answer.html);
}

#[test]
fn an_answer_has_words() {
    let with_file = check("x", " ", vec![file("a.pdf", "", "", 1)], LIMITS).unwrap();
    assert_eq!(with_file.files[0].content_type, "application/octet-stream");
    for html in ["", "<p></p>"] {
        assert_eq!(
            refused(" \n", html, vec![file("a.pdf", "", "", 1)]),
            Refused::Empty
        );
    }
}

#[test]
fn limits_are_told() {
    let long = "x".repeat(101);
    for (text, html, field) in [(long.as_str(), "", "text"), ("", long.as_str(), "html")] {
        let refused = refused(text, html, Vec::new());
        assert_eq!(refused, Refused::TooLong { field, limit: 100 });
        assert_eq!(refused.field(), field);
    }
    let three = vec![file("a", "", "", 1); 3];
    assert_eq!(refused("x", "", three), Refused::TooManyFiles { limit: 2 });
    let heavy = vec![file("a", "", "", 6), file("b", "", "", 5)];
    let refused = refused("x", "", heavy);
    assert_eq!(
        refused,
        Refused::TooLarge {
            size: 11,
            limit: 10
        }
    );
    assert_eq!(refused.field(), "files");
}

#[test]
fn names_and_types_are_clean() {
    let taken = |name: &str, kind: &str| {
        let answer = check("x", "", vec![file(name, kind, "", 1)], LIMITS).unwrap();
        (
            answer.files[0].filename.clone(),
            answer.files[0].content_type.clone(),
        )
    };
    let named = |name: &str| taken(name, "").0;
    assert_eq!(named("../../etc/pass\r\nwd"), "passwd");
    assert_eq!(named("C:\\temp\\lasku.pdf"), "lasku.pdf");
    assert_eq!(named("lasku\u{202e}fdp.exe"), "laskufdp.exe");
    assert_eq!(named(".htaccess"), "htaccess");
    assert_eq!(named("käyttö ohje.pdf"), "käyttö ohje.pdf");
    let long = named(&format!("{}.pdf", "ä".repeat(300)));
    assert!(
        long.strip_suffix(".pdf").is_some() && long.chars().count() == 200,
        "{long}"
    );
    assert_eq!(taken("a", "Text/CSV; charset=utf-8").1, "text/csv");
    for bad in [
        file("", "", "", 1),
        file("/", "", "", 1),
        file("a", "text", "", 1),
        file("a", "text/pl ain", "", 1),
        file("a", "message/rfc822", "", 1),
        file("a", "multipart/mixed", "", 1),
        file("a", "image/png", "a b", 1),
        file("a", "text/html", "x", 1),
        file("a", "", "", 0),
    ] {
        let refused = refused("x", "", vec![bad.clone()]);
        assert!(
            matches!(refused, Refused::BadFile { index: 0, .. }),
            "{bad:?}: {refused:?}"
        );
    }
}

#[test]
fn images_and_their_places_belong_together() {
    let image = || file("a.png", "image/png", "one@desk", 1);
    let html = "<p>x</p><img src=\"cid:one@desk\">";
    let answer = check("", html, vec![image()], LIMITS).unwrap();
    assert!(
        answer.html.contains("src=\"cid:one@desk\""),
        "{}",
        answer.html
    );
    for (html, files) in [
        (html, Vec::new()),
        ("<p>x</p>", vec![image()]),
        (html, vec![image(), image()]),
    ] {
        let refused = refused("x", html, files);
        assert!(matches!(refused, Refused::Image { .. }), "{refused:?}");
    }
}
