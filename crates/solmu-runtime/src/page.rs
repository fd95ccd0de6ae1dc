//! Page tokens (AIP-158): opaque, and only good for the request that they came from.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::ApiError;

/// Numbers in a position: times in microseconds of the years 1 to 9999, and places in lists, which are shorter. A token
/// with another one was not made by us, and neither a time of ours nor of PostgreSQL holds it.
const NUMBERS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_207_200_000_000;

#[derive(Serialize, Deserialize)]
struct Token<P> {
    /// What the other arguments were.
    q: String,
    /// Where the page ended.
    p: P,
}

/// The token of the page that begins after `position`.
pub fn encode<P: Serialize>(query: &str, position: P) -> String {
    let token = Token {
        q: query.to_owned(),
        p: position,
    };
    serde_json::to_vec(&token)
        .map(|json| URL_SAFE_NO_PAD.encode(json))
        .unwrap_or_default()
}

/// The position in `token`; `None` for the first page.
pub fn decode<P: DeserializeOwned>(query: &str, token: &str) -> Result<Option<P>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    let bad = || {
        ApiError::invalid(
            "page_token",
            "not a page token of this list; begin without one",
        )
    };
    let json = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
    let token: Token<Value> = serde_json::from_slice(&json).map_err(|_| bad())?;
    if !is_sane(&token.p) {
        return Err(bad());
    }
    if token.q != query {
        return Err(ApiError::invalid(
            "page_token",
            "the other arguments must be the same for each page",
        ));
    }
    serde_json::from_value(token.p).map(Some).map_err(|_| bad())
}

/// Whether a position can be one of ours: all its numbers fit a time, and its texts can be stored.
fn is_sane(position: &Value) -> bool {
    match position {
        Value::Null | Value::Bool(_) => true,
        Value::Number(number) => {
            number.is_f64() || number.as_i64().is_some_and(|it| NUMBERS.contains(&it))
        }
        Value::String(text) => !text.contains('\0'),
        Value::Array(parts) => parts.iter().all(is_sane),
        Value::Object(parts) => parts.values().all(is_sane),
    }
}

/// The page size to use: `default` if none is asked for, at most `max`; a negative one is an error.
pub fn size(asked: i32, default: i64, max: u32) -> Result<i64, ApiError> {
    match asked {
        0 => Ok(default.min(i64::from(max))),
        asked if asked < 0 => Err(ApiError::invalid("page_size", "must not be negative")),
        asked => Ok(i64::from(asked).min(i64::from(max))),
    }
}

/// Cuts rows that were read with one more than `size`; says whether there are more.
pub fn cut<T>(rows: &mut Vec<T>, size: i64) -> bool {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_only_with_their_query() {
        let token = encode("status = open", (7_i64, "x".to_owned()));
        assert_eq!(
            decode::<(i64, String)>("status = open", &token).unwrap(),
            Some((7, "x".to_owned()))
        );
        assert!(decode::<(i64, String)>("status = new", &token).is_err());
        assert!(decode::<(i64, String)>("", "%%").is_err());
        assert_eq!(decode::<i64>("", "").unwrap(), None);
    }

    #[test]
    fn positions_that_we_never_gave_are_refused() {
        for at in [*NUMBERS.start(), -1, 0, *NUMBERS.end()] {
            assert_eq!(decode::<i64>("", &encode("", at)).unwrap(), Some(at));
            jiff::Timestamp::from_microsecond(at).unwrap();
        }
        for at in [i64::MAX, i64::MIN, NUMBERS.end() + 1, NUMBERS.start() - 1] {
            for token in [encode("", at), encode("", (Some(at), "x"))] {
                let error = decode::<Value>("", &token).unwrap_err();
                assert_eq!(error.reason(), "INVALID_ARGUMENT", "{at}");
            }
        }
        assert!(decode::<String>("", &encode("", "a\0")).is_err());
        assert!(decode::<i64>("", &encode("", "a")).is_err());
    }

    #[test]
    fn sizes_are_coerced() {
        assert_eq!(size(0, 50, 500).unwrap(), 50);
        assert_eq!(size(9_999, 50, 500).unwrap(), 500);
        assert!(size(-1, 50, 500).is_err());
    }
}
