//! Reads the pieces of a filter: blanks, keywords, signs, names and values.

use super::{FilterError, SyntaxProblem};

/// The signs between a field and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparator {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Has,
}

impl Comparator {
    /// Longest first, so that `<=` is not read as `<`.
    const ALL: [Self; 7] = [
        Self::Ne,
        Self::Le,
        Self::Ge,
        Self::Eq,
        Self::Lt,
        Self::Gt,
        Self::Has,
    ];

    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Has => ":",
        }
    }
}

/// A value as written, stars apart.
#[derive(Debug)]
pub(crate) struct Argument {
    /// Byte offset of its first character.
    pub(crate) start: usize,
    pub(crate) text: String,
    pub(crate) star_before: bool,
    pub(crate) star_after: bool,
    /// Nothing but a star.
    pub(crate) star_alone: bool,
}

pub(crate) struct Scanner<'a> {
    source: &'a str,
    /// Byte offset of the next character.
    pub(crate) at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(source: &'a str) -> Self {
        Self { source, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    pub(crate) fn eat(&mut self, character: char) -> bool {
        let found = self.peek() == Some(character);
        if found {
            self.at += character.len_utf8();
        }
        found
    }

    pub(crate) fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Whether the keyword stands here as a word of its own.
    pub(crate) fn at_keyword(&self, keyword: &str) -> bool {
        self.rest().strip_prefix(keyword).is_some_and(|after| {
            after
                .chars()
                .next()
                .is_none_or(|next| next.is_whitespace() || matches!(next, '(' | ')' | '"' | '\''))
        })
    }

    pub(crate) fn eat_keyword(&mut self, keyword: &str) -> bool {
        let found = self.at_keyword(keyword);
        if found {
            self.at += keyword.len();
        }
        found
    }

    pub(crate) fn eat_comparator(&mut self) -> Option<Comparator> {
        let found = Comparator::ALL
            .into_iter()
            .find(|comparator| self.rest().starts_with(comparator.sign()))?;
        self.at += found.sign().len();
        Some(found)
    }

    pub(crate) fn at_quote(&self) -> bool {
        matches!(self.peek(), Some('"' | '\''))
    }

    /// The characters up to a blank or one of `ends`.
    pub(crate) fn token(&mut self, ends: &[char]) -> &'a str {
        let rest = self.rest();
        let length = rest
            .find(|c: char| c.is_whitespace() || ends.contains(&c))
            .unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// The text between quotes; its opening quote stands here.
    pub(crate) fn quoted(&mut self) -> Result<Argument, FilterError> {
        let start = self.at;
        let Some(quote) = self.advance() else {
            return Err(self.fault(start, SyntaxProblem::UnclosedQuote('"')));
        };
        let mut characters = Vec::new();
        loop {
            let here = self.at;
            match self.advance() {
                None => return Err(self.fault(start, SyntaxProblem::UnclosedQuote(quote))),
                Some(character) if character == quote => break,
                Some('\\') => characters.push((here, self.escape(start, quote)?, false)),
                Some(character) => characters.push((here, character, character == '*')),
            }
        }
        self.argument(start, &characters)
    }

    fn escape(&mut self, start: usize, quote: char) -> Result<char, FilterError> {
        let here = self.at - 1;
        match self.advance() {
            Some(sign @ ('"' | '\'' | '\\' | '*')) => Ok(sign),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some(other) => Err(self.fault(here, SyntaxProblem::UnknownEscape(other))),
            None => Err(self.fault(start, SyntaxProblem::UnclosedQuote(quote))),
        }
    }

    /// A value without quotes that was read from `start` on.
    pub(crate) fn unquoted(&self, start: usize, token: &str) -> Result<Argument, FilterError> {
        let characters: Vec<_> = token
            .char_indices()
            .map(|(offset, character)| (start + offset, character, character == '*'))
            .collect();
        self.argument(start, &characters)
    }

    /// Takes the stars off a value given as offset, character, and whether it is a star with its meaning.
    fn argument(
        &self,
        start: usize,
        characters: &[(usize, char, bool)],
    ) -> Result<Argument, FilterError> {
        let star =
            |character: Option<&(usize, char, bool)>| character.is_some_and(|(_, _, star)| *star);
        let star_alone = characters.len() == 1 && star(characters.first());
        let star_before = !star_alone && star(characters.first());
        let star_after = !star_alone && star(characters.last());
        let inner = match characters {
            _ if star_alone => &[],
            [_, inner @ .., _] if star_before && star_after => inner,
            [_, inner @ ..] if star_before => inner,
            [inner @ .., _] if star_after => inner,
            all => all,
        };
        if let Some((offset, _, _)) = inner.iter().find(|(_, _, star)| *star) {
            return Err(self.fault(*offset, SyntaxProblem::InnerStar));
        }
        let text = inner.iter().map(|(_, character, _)| *character).collect();
        Ok(Argument {
            start,
            text,
            star_before,
            star_after,
            star_alone,
        })
    }

    /// The position of a byte offset, in characters from 1.
    pub(crate) fn position(&self, offset: usize) -> usize {
        self.source[..offset].chars().count() + 1
    }

    pub(crate) fn fault(&self, offset: usize, problem: SyntaxProblem) -> FilterError {
        FilterError::Syntax {
            position: self.position(offset),
            problem,
        }
    }
}
