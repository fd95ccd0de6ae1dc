//! Words that have to be those of others: codes of languages, names of channels, hours. A word that nothing ever has
//! would be taken without a sound, and tickets would wait.

use solmu_conditions::{Condition, Leaf, Operator, Value};

use crate::rule::CHANNELS;

/// Codes of languages with two letters: ISO 639-1.
const LANGUAGES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de \
    dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is \
    it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na \
    nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr \
    ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu";
/// A channel that agents may have a limit for besides those of tickets.
const CALLS: &str = "phone";

/// A language as tickets have it: `fi`, `pt-BR`. What is wrong with it otherwise.
pub(super) fn language(text: &str) -> Result<String, String> {
    let (primary, rest) = text
        .split_once('-')
        .map_or((text, None), |(primary, rest)| (primary, Some(rest)));
    let primary = primary.to_lowercase();
    let known = LANGUAGES.split_whitespace().any(|code| code == primary);
    let fits = |part: &str| {
        (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    match rest {
        None if known => Ok(primary),
        Some(rest) if known && rest.split('-').all(fits) => Ok(format!("{primary}-{rest}")),
        _ => Err(format!(
            "'{text}' is no code of a language: use two letters of ISO 639-1, such as fi, sv or en"
        )),
    }
}

/// A channel in its name's small letters. What is wrong with it otherwise.
pub(super) fn channel(text: &str) -> Result<String, String> {
    let name = text.to_lowercase();
    if CHANNELS.contains(&name.as_str()) || name == CALLS {
        return Ok(name);
    }
    let all = CHANNELS.join(", ");
    Err(format!("'{text}' is no channel: use {all} or {CALLS}"))
}

/// What a condition compares with that no ticket ever has, one sentence each.
pub(super) fn never(condition: &Condition) -> Vec<String> {
    let mut found = Vec::new();
    visit(condition, &mut found);
    found
}

fn visit(condition: &Condition, found: &mut Vec<String>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                visit(part, found);
            }
        }
        Condition::Not(part) => visit(part, found),
        Condition::Leaf(leaf) => found.extend(values(leaf).filter_map(|value| odd(leaf, value))),
    }
}

fn values(leaf: &Leaf) -> impl Iterator<Item = &Value> {
    let all = match &leaf.value {
        Some(Value::List(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
        None => &[],
    };
    all.iter()
}

fn odd(leaf: &Leaf, value: &Value) -> Option<String> {
    let exact = matches!(leaf.operator, Operator::Eq | Operator::Ne | Operator::In);
    match (leaf.field.as_str(), value) {
        ("language", Value::Text(text)) if exact => match language(text) {
            Ok(code) if code == *text => None,
            Ok(code) => Some(format!(
                "a language is in small letters: '{code}', not '{text}'"
            )),
            Err(wrong) => Some(wrong),
        },
        ("hour", Value::Integer(hour)) => {
            let last = if leaf.operator == Operator::Lt {
                24
            } else {
                23
            };
            (!(0..=last).contains(hour)).then(|| format!("an hour is 0 to 23, not {hour}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use solmu_conditions::parse;

    use super::*;
    use crate::rule::SCHEMA;

    #[test]
    fn languages_have_codes() {
        for (text, code) in [
            ("fi", "fi"),
            ("FI", "fi"),
            ("Sv-FI", "sv-FI"),
            ("pt-BR", "pt-BR"),
        ] {
            assert_eq!(language(text).unwrap(), code);
        }
        for wrong in [
            "Finnish", "suomi", "xx", "fin", "", "fi-", "fi_FI", "fi-a b",
        ] {
            let said = language(wrong).unwrap_err();
            assert!(said.contains("such as fi, sv or en"), "{said}");
        }
    }

    #[test]
    fn channels_are_known() {
        assert_eq!(channel("Chat").unwrap(), "chat");
        assert_eq!(channel("phone").unwrap(), "phone");
        let said = channel("caht").unwrap_err();
        assert!(
            said.starts_with("'caht' is no channel: use email, chat, "),
            "{said}"
        );
    }

    #[test]
    fn what_no_ticket_ever_has_is_told() {
        let said = |filter: &str| never(parse(filter, &SCHEMA).unwrap().condition());
        for fine in [
            "language = fi AND hour >= 16",
            "language:f OR language = sv-FI",
            "hour < 24 AND NOT hour = 0",
            "words:FI",
        ] {
            assert!(said(fine).is_empty(), "{fine}");
        }
        assert_eq!(
            said("language = FI"),
            ["a language is in small letters: 'fi', not 'FI'"]
        );
        assert_eq!(
            said("NOT (hour > 25 OR channel = chat)"),
            ["an hour is 0 to 23, not 25"]
        );
        assert_eq!(said("hour <= 24 OR hour = -1").len(), 2);
        assert!(said("language = Finnish")[0].contains("'Finnish' is no code"));
    }
}
