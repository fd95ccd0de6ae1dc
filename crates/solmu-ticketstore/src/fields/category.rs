//! Categories: words between slashes, in one form.

/// Levels of a category.
const MAX_LEVELS: usize = 8;
/// Longest category, in bytes.
const MAX_CATEGORY: usize = 200;

/// `text` as it is stored: lower case, without empty levels, and with single spaces. Empty for none.
pub fn category(text: &str) -> Result<String, String> {
    // What is far too long is not worth looking at.
    if text.len() > 10 * MAX_CATEGORY {
        return Err(format!("longer than {MAX_CATEGORY} bytes"));
    }
    if text.contains(|c: char| c.is_control() && !c.is_whitespace()) {
        return Err("has control characters".to_owned());
    }
    let lower = text.to_lowercase();
    let levels = lower.split('/').map(|level| {
        let words: Vec<&str> = level.split_whitespace().collect();
        words.join(" ")
    });
    let levels: Vec<String> = levels.filter(|level| !level.is_empty()).collect();
    if levels.len() > MAX_LEVELS {
        return Err(format!("more than {MAX_LEVELS} levels"));
    }
    let text = levels.join("/");
    if text.len() > MAX_CATEGORY {
        return Err(format!("longer than {MAX_CATEGORY} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_has_one_form() {
        for (text, stored) in [
            ("", ""),
            (" / ", ""),
            ("Billing/Refund", "billing/refund"),
            ("/billing//  Late\t refund /", "billing/late refund"),
            ("ÄÖ/Å", "äö/å"),
            ("a/b/c/d/e/f/g/h", "a/b/c/d/e/f/g/h"),
        ] {
            assert_eq!(category(text).as_deref(), Ok(stored));
            assert_eq!(category(stored).as_deref(), Ok(stored));
        }
        assert_eq!(category(&"x".repeat(200)).map(|it| it.len()), Ok(200));
        for bad in [
            "a/b/c/d/e/f/g/h/i",
            "a\0b",
            &"x".repeat(201),
            &"/".repeat(2_001),
        ] {
            assert!(category(bad).is_err(), "{bad:?}");
        }
    }
}
