//! Somebody fills in the contact form: the page is fetched first, because its hidden fields prove that it was.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::StatusCode;
use tokio::time::Instant;

/// What the built-in form's time trap demands between serving the page and its post.
const TIME_TRAP: Duration = Duration::from_millis(3_200);

/// A page that was served, and when.
#[derive(Debug)]
pub(crate) struct Page {
    url: String,
    hidden: Vec<(String, String)>,
    served: Instant,
}

/// What is typed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answers<'a> {
    pub(crate) name: &'a str,
    pub(crate) email: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) message: &'a str,
}

impl Page {
    /// Opens the form.
    pub(crate) async fn open(
        http: &reqwest::Client,
        base: &str,
        form: &str,
        language: &str,
    ) -> anyhow::Result<Self> {
        let url = format!("{base}/forms/{form}");
        let answer = http
            .get(format!("{url}?lang={language}"))
            .header("Accept", "text/html")
            .send()
            .await;
        let answer = answer
            .with_context(|| format!("cannot reach {url}: is `solmu serve` running there?"))?;
        if !answer.status().is_success() {
            bail!("{url} answered {}", answer.status());
        }
        let html = answer
            .text()
            .await
            .with_context(|| format!("cannot read {url}"))?;
        Ok(Self {
            url,
            hidden: hidden_fields(&html),
            served: Instant::now(),
        })
    }

    /// Sends it. A post that the time trap finds too quick is made again when it no longer is; the page's token makes
    /// both the same message.
    pub(crate) async fn submit(
        &self,
        http: &reqwest::Client,
        answers: &Answers<'_>,
    ) -> anyhow::Result<()> {
        let status = self.post(http, answers).await?;
        if status == StatusCode::UNPROCESSABLE_ENTITY && self.served.elapsed() < TIME_TRAP {
            tokio::time::sleep_until(self.served + TIME_TRAP).await;
            return accepted(self.post(http, answers).await?, &self.url);
        }
        accepted(status, &self.url)
    }

    async fn post(
        &self,
        http: &reqwest::Client,
        answers: &Answers<'_>,
    ) -> anyhow::Result<StatusCode> {
        let mut fields = self.hidden.clone();
        let Answers {
            name,
            email,
            subject,
            message,
        } = answers;
        for (field, value) in [
            ("name", name),
            ("email", email),
            ("subject", subject),
            ("message", message),
        ] {
            fields.push((field.to_owned(), (*value).to_owned()));
        }
        let answer = http.post(&self.url).form(&fields).send().await;
        Ok(answer
            .with_context(|| format!("cannot post to {}", self.url))?
            .status())
    }
}

/// A page answers a post with a redirect to its thanks.
fn accepted(status: StatusCode, url: &str) -> anyhow::Result<()> {
    if status == StatusCode::SEE_OTHER || status == StatusCode::CREATED {
        return Ok(());
    }
    bail!("{url} did not take the form: {status}");
}

/// Names and values of `<input type="hidden">`.
fn hidden_fields(html: &str) -> Vec<(String, String)> {
    let tags = html
        .split("<input")
        .skip(1)
        .filter_map(|rest| rest.split('>').next());
    tags.filter(|tag| attribute(tag, "type").as_deref() == Some("hidden"))
        .filter_map(|tag| {
            Some((
                attribute(tag, "name")?,
                attribute(tag, "value").unwrap_or_default(),
            ))
        })
        .collect()
}

/// The value of a double-quoted attribute.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let value = tag[start..].split('"').next()?;
    Some(unescaped(value))
}

/// The entities that templates write. The ampersand comes last, so that nothing is undone twice.
fn unescaped(value: &str) -> String {
    let entities = [
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#x2f;", "/"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    entities
        .iter()
        .fold(value.to_owned(), |text, (entity, character)| {
            text.replace(entity, character)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_fields_are_found() {
        let html = r#"<form><input type="hidden" name="_token" value="n.1.a&#x2f;b&amp;lt;">
            <input id="name" name="name" type="text"> <input type="hidden" name="_lang" value="fi"><input type="hidden"></form>"#;
        let expected = [("_token", "n.1.a/b&lt;"), ("_lang", "fi")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(hidden_fields(html), expected);
        assert!(hidden_fields("").is_empty());
    }

    #[test]
    fn only_thanks_are_thanks() {
        assert!(accepted(StatusCode::SEE_OTHER, "u").is_ok());
        assert_eq!(
            accepted(StatusCode::TOO_MANY_REQUESTS, "u")
                .unwrap_err()
                .to_string(),
            "u did not take the form: 429 Too Many Requests"
        );
    }
}
