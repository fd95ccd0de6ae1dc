//! Page tokens (AIP-158): opaque, and only good for the request that they came from.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::ApiError;

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
    let token: Token<P> = serde_json::from_slice(&json).map_err(|_| bad())?;
    if token.q != query {
        return Err(ApiError::invalid(
            "page_token",
            "the other arguments must be the same for each page",
        ));
    }
    Ok(Some(token.p))
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
    fn sizes_are_coerced() {
        assert_eq!(size(0, 50, 500).unwrap(), 50);
        assert_eq!(size(9_999, 50, 500).unwrap(), 500);
        assert!(size(-1, 50, 500).is_err());
    }
}
