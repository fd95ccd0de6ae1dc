//! The lines of an iCalendar file: folded ones joined, name, parameters and value taken apart.

/// One property. Parameters are not kept: the value itself shows whether it is a date.
#[derive(Debug)]
pub(super) struct Property {
    /// Where it begins in the file, from 1.
    pub(super) line: usize,
    /// In capitals.
    pub(super) name: String,
    pub(super) value: String,
}

impl Property {
    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        self.name == name && self.value.eq_ignore_ascii_case(value)
    }
}

/// All properties of a file. Lines that are none are passed over.
pub(super) fn properties(text: &str) -> impl Iterator<Item = Property> {
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = text.lines().enumerate().peekable();
    std::iter::from_fn(move || {
        loop {
            let (index, first) = lines.next()?;
            let mut whole = first.trim_end_matches('\r').to_owned();
            while let Some((_, more)) = lines.next_if(|(_, line)| line.starts_with([' ', '\t'])) {
                whole.push_str(more.trim_end_matches('\r').get(1..).unwrap_or_default());
            }
            if let Some(property) = property(index + 1, &whole) {
                return Some(property);
            }
        }
    })
}

fn property(line: usize, text: &str) -> Option<Property> {
    let mut quoted = false;
    let colon = text.find(|c: char| {
        quoted ^= c == '"';
        c == ':' && !quoted
    })?;
    let (head, value) = (text.get(..colon)?, text.get(colon + 1..)?);
    let name = head.split(';').next()?.trim().to_ascii_uppercase();
    (!name.is_empty()).then(|| Property {
        line,
        name,
        value: value.trim().to_owned(),
    })
}
