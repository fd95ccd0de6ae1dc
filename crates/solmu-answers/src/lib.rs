//! What an agent's answer is made of: text, HTML and files.
//!
//! An answer is checked as a whole before anything of it is stored, so that a refusal names what is wrong and leaves
//! nothing behind. The HTML is made safe here and not where it is sent: the same bytes are shown to colleagues, kept
//! and sent. Files travel within the call; a link to a file somewhere was rejected, because what it leads to can change
//! after the answer was approved.

mod file;
mod keep;

pub use file::NewFile;
pub use keep::{Keep, KeepError, Keeping, Kept, keep_files};

/// How large an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text, and of the HTML.
    pub text_bytes: usize,
    /// Files.
    pub files: usize,
    /// Bytes of all files together.
    pub file_bytes: usize,
}

/// An answer that cannot be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing to read in it.
    #[error("an answer needs words, as text or as HTML")]
    Empty,
    /// The text or the HTML is too long.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// Which of the two.
        field: &'static str,
        /// Bytes allowed.
        limit: usize,
    },
    /// Too many files.
    #[error("more than {limit} files")]
    TooManyFiles {
        /// Files allowed.
        limit: usize,
    },
    /// The files are too large together.
    #[error("the files have {size} bytes together, and the limit is {limit}")]
    TooLarge {
        /// Bytes given.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A file that cannot be sent as it is.
    #[error("file {}: {problem}", .index + 1)]
    BadFile {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// The HTML shows an image that is not among the files, or the other way round.
    #[error("the HTML and the inline files do not fit together: '{content_id}'")]
    Image {
        /// The id that only one of the two has.
        content_id: String,
    },
}

impl Refused {
    /// The field of the request that is wrong.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Empty => "text",
            Self::TooLong { field, .. } => field,
            Self::TooManyFiles { .. } | Self::TooLarge { .. } | Self::BadFile { .. } => "files",
            Self::Image { .. } => "html",
        }
    }
}

/// A checked answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its text; that of the HTML where only HTML was given.
    pub text: String,
    /// Safe to show and to send; empty if there is none.
    pub html: String,
    /// Its files, with clean names and types.
    pub files: Vec<NewFile>,
}

/// Checks an answer. Images of other servers are not sent: their addresses tell those servers who reads the answer.
pub fn check(
    text: &str,
    html: &str,
    files: Vec<NewFile>,
    limits: Limits,
) -> Result<Answer, Refused> {
    for (field, given) in [("text", text), ("html", html)] {
        if given.len() > limits.text_bytes {
            let limit = limits.text_bytes;
            return Err(Refused::TooLong { field, limit });
        }
    }
    let files = file::check(files, limits)?;
    let html = if html.trim().is_empty() {
        String::new()
    } else {
        solmu_text::sanitise_html(html)
    };
    let text = match text.trim() {
        "" => solmu_text::html_to_text(&html),
        text => solmu_text::clean(text).into_owned(),
    };
    if text.is_empty() {
        return Err(Refused::Empty);
    }
    file::fit(&html, &files)?;
    Ok(Answer { text, html, files })
}

#[cfg(test)]
mod tests;
