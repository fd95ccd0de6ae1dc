//! Parameters of MAIL and RCPT: SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531) and those of delivery status
//! notifications (RFC 3461).
//!
//! The keyword DSN is not announced: who announces it owes a report to a sender that asks for one on success, and what
//! takes mail in here cannot send. The exchanger before us then reports "relayed", as RFC 3461 section 5.2.2 wants it. Its
//! parameters are read all the same, for senders that do not look at the keyword; they ask for nothing that we would
//! do, because a mail that was taken is never bounced.

use super::CommandError;

/// Characters of an envelope id (RFC 3461 section 4.4).
const ENVELOPE_ID_MAX: usize = 100;
/// Characters of an original recipient (RFC 3461 section 4.2).
const ORIGINAL_RECIPIENT_MAX: usize = 500;

/// Parameters of MAIL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// `SIZE=`, in bytes.
    pub size: Option<u64>,
    /// `SMTPUTF8`.
    pub utf8: bool,
    /// Whether `RET=` or `ENVID=` was there.
    pub dsn: bool,
}

/// Gives each parameter to `take`. One that comes twice must say the same: clients whose library and caller both add
/// SIZE are harmless, two sizes are not.
fn each(
    parameters: &str,
    mut take: impl FnMut(&str, &str) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let mut seen: Vec<(String, &str)> = Vec::new();
    for parameter in parameters.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = name.to_ascii_uppercase();
        take(&name, value)?;
        match seen.iter().find(|(known, _)| *known == name) {
            Some((_, before)) => check(before.eq_ignore_ascii_case(value))?,
            None => seen.push((name, value)),
        }
    }
    Ok(())
}

/// Reads the parameters of MAIL.
pub(super) fn of_mail(parameters: &str) -> Result<MailParameters, CommandError> {
    let mut known = MailParameters::default();
    each(parameters, |name, value| {
        match name {
            "SIZE" => known.size = Some(size(value)?),
            "BODY" if is_one_of(value, &["7BIT", "8BITMIME"]) => {}
            "SMTPUTF8" if value.is_empty() => known.utf8 = true,
            "RET" => {
                check(is_one_of(value, &["FULL", "HDRS"]))?;
                known.dsn = true;
            }
            "ENVID" => {
                check(!value.is_empty() && value.len() <= ENVELOPE_ID_MAX && is_xtext(value))?;
                known.dsn = true;
            }
            _ => return Err(CommandError::Parameter),
        }
        Ok(())
    })?;
    Ok(known)
}

/// Reads the parameters of RCPT; true if there were any.
pub(super) fn of_rcpt(parameters: &str) -> Result<bool, CommandError> {
    let mut any = false;
    each(parameters, |name, value| {
        any = true;
        match name {
            "NOTIFY" => check(is_notify(value)),
            "ORCPT" => check(is_original_recipient(value)),
            _ => Err(CommandError::Parameter),
        }
    })?;
    Ok(any)
}

/// At most 20 digits (RFC 1870 section 4, RFC 3030 section 2).
pub(super) fn size(value: &str) -> Result<u64, CommandError> {
    let digits = (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    check(digits)?;
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn check(holds: bool) -> Result<(), CommandError> {
    if holds {
        Ok(())
    } else {
        Err(CommandError::Syntax)
    }
}

fn is_one_of(value: &str, known: &[&str]) -> bool {
    known.iter().any(|known| value.eq_ignore_ascii_case(known))
}

/// `NEVER`, or a list of what to report, each once.
fn is_notify(value: &str) -> bool {
    if value.eq_ignore_ascii_case("NEVER") {
        return true;
    }
    let mut wanted: Vec<String> = value.split(',').map(str::to_ascii_uppercase).collect();
    let count = wanted.len();
    wanted.sort();
    wanted.dedup();
    let known = ["SUCCESS", "FAILURE", "DELAY"];
    wanted.len() == count && wanted.iter().all(|name| known.contains(&name.as_str()))
}

/// `type;address`, the address in xtext, or for `utf-8` as RFC 6533 section 3 writes it.
fn is_original_recipient(value: &str) -> bool {
    let Some((kind, address)) = value.split_once(';') else {
        return false;
    };
    let is_kind = !kind.is_empty()
        && kind
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_utf8 = kind.eq_ignore_ascii_case("utf-8");
    let fits = !address.is_empty() && value.len() <= ORIGINAL_RECIPIENT_MAX;
    is_kind && fits && (is_utf8 || is_xtext(address))
}

/// Printable ASCII without `+` and `=`, which are written `+2B` and `+3D` (RFC 3461 section 4).
fn is_xtext(value: &str) -> bool {
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let legal = match byte {
            b'+' => {
                let mut hex = || {
                    bytes
                        .next()
                        .is_some_and(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'))
                };
                hex() && hex()
            }
            byte => byte.is_ascii_graphic() && byte != b'=',
        };
        if !legal {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_mail() {
        let all =
            of_mail("size=12 SIZE=12 RET=hdrs ENVID=QQ314159+2B BODY=8BITMIME SMTPUTF8").unwrap();
        let wanted = MailParameters {
            size: Some(12),
            utf8: true,
            dsn: true,
        };
        assert_eq!(all, wanted);
        for (bad, wanted) in [
            ("SIZE=", CommandError::Syntax),
            ("SIZE=123456789012345678901", CommandError::Syntax),
            ("SIZE=1 SIZE=2", CommandError::Syntax),
            ("RET=ALL", CommandError::Syntax),
            ("RET=FULL ret=HDRS", CommandError::Syntax),
            ("ENVID=", CommandError::Syntax),
            ("ENVID=a=b", CommandError::Syntax),
            ("ENVID=a+2b", CommandError::Syntax),
            ("ENVID=a+2", CommandError::Syntax),
            ("ENVID=ä", CommandError::Syntax),
            ("BODY=BINARYMIME", CommandError::Parameter),
            ("AUTH=<>", CommandError::Parameter),
            ("NOTIFY=NEVER", CommandError::Parameter),
        ] {
            assert_eq!(of_mail(bad), Err(wanted), "{bad}");
        }
        let long = "x".repeat(ENVELOPE_ID_MAX + 1);
        assert_eq!(of_mail(&format!("ENVID={long}")), Err(CommandError::Syntax));
    }

    #[test]
    fn parameters_of_rcpt() {
        for good in [
            "NOTIFY=NEVER",
            "NOTIFY=success,FAILURE,Delay ORCPT=rfc822;a+2Bb@c.example",
            "ORCPT=utf-8;ä\\x{20}b@c.example",
        ] {
            assert_eq!(of_rcpt(good), Ok(true), "{good}");
        }
        assert_eq!(of_rcpt(" "), Ok(false));
        for bad in [
            "NOTIFY=",
            "NOTIFY=NEVER,SUCCESS",
            "NOTIFY=DELAY,DELAY",
            "NOTIFY=NEVER NOTIFY=DELAY",
            "ORCPT=a@c.example",
            "ORCPT=;a",
            "ORCPT=rfc822;",
            "ORCPT=rfc822;a=b",
        ] {
            assert_eq!(of_rcpt(bad), Err(CommandError::Syntax), "{bad}");
        }
        assert_eq!(of_rcpt("SIZE=1"), Err(CommandError::Parameter));
    }
}
