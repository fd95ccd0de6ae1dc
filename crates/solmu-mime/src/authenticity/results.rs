//! Takes the value of an `Authentication-Results` header apart (RFC 8601 section 2.2).
//!
//! Comments and quoted strings may hold anything, also `; dmarc=pass`, so the value is cut into tokens before it is
//! read. Exchangers stray from the grammar in known ways, which are taken too: no authserv-id at all (Microsoft 365),
//! properties without a type (`action=none`), unquoted `=` and `/` within values, a separator at the end.

use super::ResultWord;

/// Methods that are read from one header. Real ones have fewer than ten.
const RESULTS_MAX: usize = 64;
/// Properties that are read for one method.
const PROPERTIES_MAX: usize = 32;

/// A header's value, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Results {
    /// Who says so; empty if the header does not name anybody.
    pub authserv_id: String,
    /// Version of the format; 1 if the header does not say.
    pub version: u32,
    /// One for each method and signature, in their order.
    pub methods: Vec<MethodResult>,
}

/// The outcome of one method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodResult {
    /// Lower case, for example `dkim`.
    pub method: String,
    /// What came of it; `None` for a word that RFC 8601 does not know.
    pub result: Option<ResultWord>,
    /// For people.
    pub reason: String,
    /// Name (lower case, for example `header.from`) and value.
    pub properties: Vec<(String, String)>,
}

impl MethodResult {
    /// The first property of that name (lower case).
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Results {
    /// Reads a header's value; what cannot be read is left out.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        let tokens = tokens(value);
        let mut segments = tokens.split(|token| *token == Token::Semicolon);
        let head = segments.next().unwrap_or_default();
        let mut results = Self {
            version: 1,
            ..Self::default()
        };
        if head.contains(&Token::Equals) {
            // Microsoft 365 leaves its name out: the first segment is a result already.
            results.methods.extend(method_result(head));
        } else {
            let mut words = head.iter().filter_map(Token::text);
            words
                .next()
                .unwrap_or_default()
                .clone_into(&mut results.authserv_id);
            // A version that is no number is one that nobody has defined.
            results.version = words.next().map_or(1, |word| word.parse().unwrap_or(0));
        }
        let room = RESULTS_MAX - results.methods.len();
        results
            .methods
            .extend(segments.filter_map(method_result).take(room));
        results
    }

    /// All outcomes of a method (lower case).
    pub fn of<'a>(&'a self, method: &'a str) -> impl Iterator<Item = &'a MethodResult> + 'a {
        self.methods
            .iter()
            .filter(move |result| result.method == method)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(String),
    Equals,
    Semicolon,
}

impl Token {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Equals | Self::Semicolon => None,
        }
    }
}

/// `method[/version]=result [reason=value] [ptype.property=value ...]`.
fn method_result(segment: &[Token]) -> Option<MethodResult> {
    let mut pairs = segment.windows(3).filter_map(|window| match window {
        [Token::Text(name), Token::Equals, Token::Text(value)] => Some((name, value)),
        _ => None,
    });
    let (method, result) = pairs.next()?;
    let mut made = MethodResult {
        method: method
            .split('/')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase(),
        result: ResultWord::parse(result),
        reason: String::new(),
        properties: Vec::new(),
    };
    for (name, value) in pairs {
        let name = name.to_ascii_lowercase();
        if name == "reason" {
            made.reason.clone_from(value);
        } else if made.properties.len() < PROPERTIES_MAX {
            made.properties.push((name, value.clone()));
        }
    }
    Some(made)
}

/// Cuts a value into tokens without comments. After `=` a value goes on to the next space: it may hold `=` itself.
fn tokens(value: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut characters = value.chars().peekable();
    // Whether the next piece belongs to the text before it, as in `"a b"@c.example`.
    let mut glued = false;
    while let Some(character) = characters.next() {
        let piece = match character {
            '(' => {
                skip_comment(&mut characters);
                None
            }
            ';' => {
                tokens.push(Token::Semicolon);
                None
            }
            '=' if !(glued && within_value(&tokens)) => {
                tokens.push(Token::Equals);
                None
            }
            '"' => Some(quoted(&mut characters)),
            space if space.is_whitespace() => None,
            other => Some(other.to_string()),
        };
        let Some(piece) = piece else {
            glued = false;
            continue;
        };
        match tokens.last_mut() {
            Some(Token::Text(text)) if glued => text.push_str(&piece),
            _ => tokens.push(Token::Text(piece)),
        }
        glued = true;
    }
    tokens
}

/// Whether the last text stands after `=`.
fn within_value(tokens: &[Token]) -> bool {
    matches!(tokens, [.., Token::Equals, Token::Text(_)])
}

/// Skips the rest of a comment, which may hold others (RFC 5322 section 3.2.2). An open one goes to the end.
fn skip_comment(characters: &mut impl Iterator<Item = char>) {
    let mut depth = 1_usize;
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

/// The rest of a quoted string (RFC 5322 section 3.2.4). An open one goes to the end.
fn quoted(characters: &mut impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            '"' => break,
            other => text.push(other),
        }
    }
    text
}
