//! What a calendar part says (RFC 5545), in one line: the file itself is kept.

use super::header::clean_line;

/// Characters of the line.
const LINE_MAX: usize = 300;
/// Bytes that are looked at; an invitation's event stands at the beginning.
const LOOKED_AT: usize = 64 * 1024;

/// `calendar request: Meeting, 2026-11-02 10:00 (Europe/Helsinki), Room 5`. `None` if there is no event in it.
pub(super) fn summary(text: &str) -> Option<String> {
    let text = &text[..text.floor_char_boundary(LOOKED_AT)];
    let unfolded = text
        .replace("\r\n", "\n")
        .replace("\n ", "")
        .replace("\n\t", "");
    let mut method = String::new();
    let (mut title, mut place, mut start) = (None, None, None);
    let mut in_event = false;
    for line in unfolded.lines() {
        let Some((name, parameters, value)) = property(line) else {
            continue;
        };
        match name.as_str() {
            "METHOD" => method = value.to_lowercase(),
            "BEGIN" if value.eq_ignore_ascii_case("VEVENT") => in_event = true,
            "END" if in_event && value.eq_ignore_ascii_case("VEVENT") => break,
            "SUMMARY" if in_event => title = title.or(Some(unescape(value))),
            "LOCATION" if in_event => place = place.or(Some(unescape(value))),
            "DTSTART" if in_event => start = start.or(Some(time(value, parameters))),
            _ => {}
        }
    }
    if !in_event {
        return None;
    }
    let facts = [title, start, place].into_iter().flatten();
    let facts: Vec<String> = facts.filter(|fact| !fact.is_empty()).collect();
    let kind = match method.as_str() {
        "" | "publish" => "calendar event".to_owned(),
        other => format!("calendar {other}"),
    };
    let line = clean_line(&format!("{kind}: {}", facts.join(", ")));
    Some(line.chars().take(LINE_MAX).collect())
}

/// Name in upper case, parameters, value. A colon within a quoted parameter ends nothing.
fn property(line: &str) -> Option<(String, &str, &str)> {
    let mut quoted = false;
    let colon = line.char_indices().find_map(|(at, character)| {
        if character == '"' {
            quoted = !quoted;
        }
        (character == ':' && !quoted).then_some(at)
    })?;
    let (head, value) = (&line[..colon], line[colon + 1..].trim());
    let (name, parameters) = head.split_once(';').unwrap_or((head, ""));
    Some((name.trim().to_ascii_uppercase(), parameters, value))
}

/// Text values escape commas, semicolons and line ends (RFC 5545 section 3.3.11).
fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n' | 'N') => plain.push(' '),
                Some(other) => plain.push(other),
                None => {}
            },
            other => plain.push(other),
        }
    }
    plain.trim().to_owned()
}

/// `20261102T100000Z` as `2026-11-02 10:00 UTC`; what has another form stays as it is.
fn time(value: &str, parameters: &str) -> String {
    let digits = |from: usize, to: usize| {
        value
            .get(from..to)
            .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (Some(year), Some(month), Some(day)) = (digits(0, 4), digits(4, 6), digits(6, 8)) else {
        return value.to_owned();
    };
    let date = format!("{year}-{month}-{day}");
    let (Some(hour), Some(minute)) = (digits(9, 11), digits(11, 13)) else {
        return date;
    };
    let zone = parameters
        .split(';')
        .find_map(|parameter| parameter.strip_prefix("TZID="))
        .map(|zone| zone.trim_matches('"'));
    match zone {
        Some(zone) => format!("{date} {hour}:{minute} ({zone})"),
        None if value.ends_with('Z') => format!("{date} {hour}:{minute} UTC"),
        None => format!("{date} {hour}:{minute}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invitations_in_one_line() {
        for (text, wanted) in [
            (
                "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VTIMEZONE\r\nDTSTART:16010101T000000\r\nEND:VTIMEZONE\r\n\
                 BEGIN:VEVENT\r\nSUMMARY;LANGUAGE=fi:Tapaaminen\\, osa\r\n  1\r\nDTSTART;TZID=\"Europe/Helsinki\":20261102T100000\r\n\
                 LOCATION:Huone 5\\nToinen kerros\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:x\r\nEND:VEVENT\r\nEND:VCALENDAR",
                Some(
                    "calendar request: Tapaaminen, osa 1, 2026-11-02 10:00 (Europe/Helsinki), Huone 5 Toinen kerros",
                ),
            ),
            (
                "BEGIN:VCALENDAR\nMETHOD:CANCEL\nBEGIN:VEVENT\nDTSTART:20261102T080000Z\nSUMMARY:Meeting\nEND:VEVENT",
                Some("calendar cancel: Meeting, 2026-11-02 08:00 UTC"),
            ),
            (
                "BEGIN:VEVENT\nDTSTART;VALUE=DATE:20261102\nSUMMARY:Day\nEND:VEVENT",
                Some("calendar event: Day, 2026-11-02"),
            ),
            ("BEGIN:VEVENT\nDTSTART:soon\n", Some("calendar event: soon")),
            ("BEGIN:VTODO\nSUMMARY:x\n", None),
            ("", None),
        ] {
            assert_eq!(summary(text).as_deref(), wanted, "{text}");
        }
    }
}
