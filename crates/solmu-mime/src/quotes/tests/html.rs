//! Mail that is HTML alone: the text that is made of it shows the same quotes.

use crate::{
    parse::{ParseLimits, parse},
    quotes::find,
};

fn check(name: &str, html: &str, visible: &str, quote: &str) {
    let raw =
        format!("Content-Type: text/html; charset=utf-8\r\n\r\n<html><body>{html}</body></html>");
    let text = parse(raw.as_bytes(), &ParseLimits::default()).text;
    let quotes = find(&text);
    assert_eq!(quotes.visible(&text), visible, "{name}:\n{text}");
    let found = quotes.quote.map_or("", |at| &text[at..]);
    assert!(
        found.starts_with(quote) && found.is_empty() == quote.is_empty(),
        "{name}: {found:?} in\n{text}"
    );
}

#[test]
fn answers_of_web_mailers() {
    check(
        "gmail",
        "<div dir=\"ltr\">Thank you!</div><br><div class=\"gmail_quote\"><div dir=\"ltr\" class=\"gmail_attr\">On Mon, 2 Nov 2026 at 10:00, Support &lt;<a href=\"mailto:s@desk.example\">s@desk.example</a>&gt; wrote:<br></div><blockquote class=\"gmail_quote\" style=\"margin:0\"><div>Hello<br>there</div></blockquote></div>",
        "Thank you!",
        "On Mon",
    );
    check(
        "gmail in a language without a list of words",
        "<div dir=\"ltr\">Thank you!</div><br><div class=\"gmail_quote\"><div class=\"gmail_attr\">2026年11月2日(月) 10:00 Support &lt;s@desk.example&gt;:<br></div><blockquote>Hello</blockquote></div>",
        "Thank you!",
        "2026年",
    );
    check(
        "outlook on the web",
        "<div style=\"font-family:Calibri\">Kiitos!</div><div id=\"appendonsend\"></div><hr style=\"display:inline-block;width:98%\" tabindex=\"-1\"><div id=\"divRplyFwdMsg\" dir=\"ltr\"><font face=\"Calibri\"><b>Lähettäjä:</b> Tuki &lt;t@desk.example&gt;<br><b>Lähetetty:</b> maanantai 2. marraskuuta 2026 10.00<br><b>Vastaanottaja:</b> Aino<br><b>Aihe:</b> VS: Tilaus</font><div>&nbsp;</div></div><div>Hei,</div>",
        "Kiitos!",
        "Lähettäjä:",
    );
    check(
        "outlook on a desktop",
        "<div class=WordSection1><p class=MsoNormal>Hallo,<o:p></o:p></p><p class=MsoNormal>danke.<o:p></o:p></p><p class=MsoNormal><o:p>&nbsp;</o:p></p><div><div style='border:none;border-top:solid #E1E1E1 1.0pt'><p class=MsoNormal><b>Von:</b> Support &lt;s@desk.example&gt; <br><b>Gesendet:</b> Montag, 2. November 2026 10:00<br><b>An:</b> Bo &lt;b@c.example&gt;<br><b>Betreff:</b> AW: Bestellung<o:p></o:p></p></div></div><p class=MsoNormal>Guten Tag,</p></div>",
        "Hallo,\n\ndanke.",
        "Von: Support",
    );
    check(
        "outlook, a paragraph each",
        "<p>Fine</p><p><b>From:</b> Support</p><p><b>Sent:</b> Monday</p><p><b>To:</b> Bo</p><p><b>Subject:</b> x</p><p>Hello</p>",
        "Fine",
        "From:",
    );
    check(
        "apple mail",
        "<div dir=\"ltr\">Ok</div><div dir=\"ltr\"><br><blockquote type=\"cite\">On 2 Nov 2026, at 10.00, Support &lt;s@desk.example&gt; wrote:<br><br></blockquote></div><blockquote type=\"cite\"><div dir=\"ltr\">Hello</div></blockquote>",
        "Ok",
        "> On 2 Nov",
    );
    check(
        "thunderbird",
        "<p>Passt.</p><div class=\"moz-cite-prefix\">Am 02.11.26 um 10:00 schrieb Support:<br></div><blockquote type=\"cite\" cite=\"mid:1@x\"><p>Guten Tag</p></blockquote><div class=\"moz-signature\">-- <br>Bo</div>",
        "Passt.",
        "Am 02.11.26",
    );
    check(
        "yahoo",
        "<div>works</div><div id=\"yahoo_quoted_1\" class=\"yahoo_quoted\"><div><div>On Monday, November 2, 2026 at 10:00:00 AM GMT+2, Support &lt;s@desk.example&gt; wrote: </div><div><br></div><div>Hello</div></div></div>",
        "works",
        "On Monday",
    );
    check(
        "proton",
        "<div>Thanks</div><div class=\"protonmail_quote\">On Monday, November 2nd, 2026 at 10:00 AM, Support &lt;s@desk.example&gt; wrote:<br><blockquote class=\"protonmail_quote\" type=\"cite\"><p>Hello</p></blockquote></div>",
        "Thanks",
        "On Monday",
    );
    check(
        "answers between",
        "<blockquote type=cite>Which size?</blockquote><p>42</p><blockquote type=cite>Which colour?</blockquote><p>green</p>",
        "> Which size?\n\n42\n\n> Which colour?\n\ngreen",
        "",
    );
}

#[test]
fn forwarded_html_is_the_message() {
    check(
        "gmail",
        "<div class=\"gmail_quote\"><div class=\"gmail_attr\">---------- Forwarded message ---------<br>From: <b>Shop</b> &lt;s@shop.example&gt;<br>Date: Mon, 2 Nov 2026 at 10:00<br>Subject: Order<br>To: &lt;a@c.example&gt;<br></div><p>Thanks</p></div>",
        "---------- Forwarded message ---------\nFrom: Shop <s@shop.example>\nDate: Mon, 2 Nov 2026 at 10:00\nSubject: Order\nTo: <a@c.example>\n\nThanks",
        "",
    );
}
