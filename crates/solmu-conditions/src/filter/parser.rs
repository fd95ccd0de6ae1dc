//! Recursive descent over the grammar of AIP-160; the recursion is bounded by [`crate::Limits::depth`].

use super::scanner::{Argument, Comparator, Scanner};
use super::{FilterError, SyntaxProblem};
use crate::condition::{Condition, Leaf, Operator, Value};
use crate::schema::{FieldType, Schema};

/// Signs that end a name.
const NAME_ENDS: &[char] = &['(', ')', '"', ',', '=', '<', '>', '!', ':'];
/// Signs that end a value without quotes. A colon does not: instants have some.
const VALUE_ENDS: &[char] = &['(', ')', '"', ',', '=', '<', '>', '!'];

pub(crate) struct Parser<'a> {
    scanner: Scanner<'a>,
    schema: &'a Schema,
    /// Byte offset of each leaf, in the order of the tree.
    leaves: Vec<usize>,
}

type Parsed<T> = Result<T, FilterError>;

impl<'a> Parser<'a> {
    pub(crate) const fn new(filter: &'a str, schema: &'a Schema) -> Self {
        Self {
            scanner: Scanner::new(filter),
            schema,
            leaves: Vec::new(),
        }
    }

    /// The condition, and the position of each of its leaves in characters from 1.
    pub(crate) fn filter(mut self) -> Parsed<(Condition, Vec<usize>)> {
        self.scanner.skip_blanks();
        if self.scanner.peek().is_none() {
            return Ok((Condition::always(), Vec::new()));
        }
        let condition = self.expression(1)?;
        if self.scanner.peek().is_some() {
            return Err(self.fault(self.scanner.at, SyntaxProblem::Unopened));
        }
        let positions = self
            .leaves
            .iter()
            .map(|offset| self.scanner.position(*offset))
            .collect();
        Ok((condition, positions))
    }

    fn fault(&self, offset: usize, problem: SyntaxProblem) -> FilterError {
        self.scanner.fault(offset, problem)
    }

    /// `expression` and `sequence` of the grammar: factors joined by `AND` or standing side by side, up to the end or a
    /// closing parenthesis.
    fn expression(&mut self, depth: usize) -> Parsed<Condition> {
        let mut factors = Vec::new();
        loop {
            factors.push(self.factor(depth)?);
            let joined = self.scanner.eat_keyword("AND");
            if !joined && matches!(self.scanner.peek(), None | Some(')')) {
                return Ok(unwrap_single(factors, Condition::All));
            }
        }
    }

    /// Terms joined by `OR`.
    fn factor(&mut self, depth: usize) -> Parsed<Condition> {
        let mut terms = Vec::new();
        loop {
            terms.push(self.term(depth)?);
            self.scanner.skip_blanks();
            if !self.scanner.eat_keyword("OR") {
                return Ok(unwrap_single(terms, Condition::Any));
            }
        }
    }

    fn term(&mut self, depth: usize) -> Parsed<Condition> {
        self.scanner.skip_blanks();
        let negated = if self.scanner.eat_keyword("NOT") {
            self.scanner.skip_blanks();
            true
        } else {
            self.scanner.eat('-')
        };
        if negated && (self.scanner.peek() == Some('-') || self.scanner.at_keyword("NOT")) {
            return Err(self.fault(self.scanner.at, SyntaxProblem::DoubleNegation));
        }
        let simple = self.simple(depth)?;
        Ok(if negated {
            Condition::negated(simple)
        } else {
            simple
        })
    }

    fn simple(&mut self, depth: usize) -> Parsed<Condition> {
        let open = self.scanner.at;
        if !self.scanner.eat('(') {
            return self.restriction();
        }
        let limit = self.schema.limits().bounded_depth();
        if depth >= limit {
            return Err(self.fault(open, SyntaxProblem::TooDeep { limit }));
        }
        let inner = self.expression(depth + 1)?;
        if self.scanner.eat(')') {
            Ok(inner)
        } else {
            Err(self.fault(open, SyntaxProblem::Unclosed))
        }
    }

    fn restriction(&mut self) -> Parsed<Condition> {
        let start = self.scanner.at;
        if self.scanner.at_quote() {
            let argument = self.scanner.quoted()?;
            self.scanner.skip_blanks();
            return match self.scanner.eat_comparator() {
                Some(comparator) => {
                    Err(self.fault(start, SyntaxProblem::QuotedField(comparator.sign())))
                }
                None => self.searched(argument),
            };
        }
        if ["AND", "OR", "NOT"]
            .into_iter()
            .any(|keyword| self.scanner.at_keyword(keyword))
        {
            let keyword = self.scanner.token(NAME_ENDS).to_owned();
            return Err(self.fault(start, SyntaxProblem::ExpectedComparison(keyword)));
        }
        let name = self.scanner.token(NAME_ENDS);
        if name.is_empty() {
            let found = self
                .scanner
                .peek()
                .map_or_else(|| "the end".to_owned(), |sign| format!("\"{sign}\""));
            return Err(self.fault(start, SyntaxProblem::ExpectedComparison(found)));
        }
        if self.scanner.peek() == Some('(') {
            return Err(self.fault(start, SyntaxProblem::Function(name.to_owned())));
        }
        let after = self.scanner.at;
        self.scanner.skip_blanks();
        if let Some(comparator) = self.scanner.eat_comparator() {
            return self.comparison(start, name, comparator);
        }
        self.scanner.at = after;
        for keyword in ["AND", "OR", "NOT"] {
            if name.eq_ignore_ascii_case(keyword) {
                return Err(self.fault(start, SyntaxProblem::LowerCaseKeyword(keyword)));
            }
        }
        let argument = self.scanner.unquoted(start, name)?;
        self.searched(argument)
    }

    /// Words without a field.
    fn searched(&mut self, argument: Argument) -> Parsed<Condition> {
        match self.schema.search() {
            Some(field) => self.leaf(argument.start, field, Comparator::Has, argument),
            None => Err(self.fault(argument.start, SyntaxProblem::NoSearchField(argument.text))),
        }
    }

    fn comparison(
        &mut self,
        start: usize,
        field: &str,
        comparator: Comparator,
    ) -> Parsed<Condition> {
        self.scanner.skip_blanks();
        if self.scanner.peek() == Some('(') {
            return self.list(start, field, comparator);
        }
        let argument = self.value(comparator)?;
        self.leaf(start, field, comparator, argument)
    }

    fn value(&mut self, comparator: Comparator) -> Parsed<Argument> {
        let start = self.scanner.at;
        if self.scanner.at_quote() {
            return self.scanner.quoted();
        }
        let token = self.scanner.token(VALUE_ENDS);
        match self.scanner.peek() {
            Some('(') if !token.is_empty() => {
                Err(self.fault(start, SyntaxProblem::Function(token.to_owned())))
            }
            Some(sign) if !sign.is_whitespace() && sign != ')' => {
                Err(self.fault(start, SyntaxProblem::UnquotedSign(sign)))
            }
            _ if token.is_empty() => {
                Err(self.fault(start, SyntaxProblem::ExpectedValue(comparator.sign())))
            }
            _ => self.scanner.unquoted(start, token),
        }
    }

    /// `(a OR b)` after a comparison.
    fn list(&mut self, start: usize, field: &str, comparator: Comparator) -> Parsed<Condition> {
        let open = self.scanner.at;
        if !matches!(comparator, Comparator::Eq | Comparator::Has) {
            return Err(self.fault(open, SyntaxProblem::ListAfter));
        }
        self.scanner.eat('(');
        let mut items = Vec::new();
        loop {
            self.scanner.skip_blanks();
            let here = self.scanner.at;
            let keyword = ["AND", "OR", "NOT"]
                .into_iter()
                .any(|keyword| self.scanner.at_keyword(keyword));
            if keyword || matches!(self.scanner.peek(), Some('(' | ')' | '-')) && !self.at_number()
            {
                return Err(self.fault(here, SyntaxProblem::ListOnlyOr));
            }
            items.push(self.value(comparator)?);
            self.scanner.skip_blanks();
            if self.scanner.eat(')') {
                return self.list_condition(start, field, comparator, items);
            }
            if !self.scanner.eat_keyword("OR") {
                let problem = match self.scanner.peek() {
                    None => self.fault(open, SyntaxProblem::Unclosed),
                    Some(_) => self.fault(self.scanner.at, SyntaxProblem::ListOnlyOr),
                };
                return Err(problem);
            }
        }
    }

    /// Whether a minus begins a number here rather than a negation.
    fn at_number(&mut self) -> bool {
        let at = self.scanner.at;
        let number = self.scanner.eat('-')
            && self
                .scanner
                .peek()
                .is_some_and(|digit| digit.is_ascii_digit());
        self.scanner.at = at;
        number
    }

    /// A list without stars is one leaf; with stars each value asks something else, and is a leaf of its own.
    fn list_condition(
        &mut self,
        start: usize,
        field: &str,
        comparator: Comparator,
        items: Vec<Argument>,
    ) -> Parsed<Condition> {
        if items
            .iter()
            .any(|item| item.star_before || item.star_after || item.star_alone)
        {
            let leaves: Result<Vec<_>, _> = items
                .into_iter()
                .map(|item| self.leaf(item.start, field, comparator, item))
                .collect();
            return Ok(unwrap_single(leaves?, Condition::Any));
        }
        let values = items
            .into_iter()
            .map(|item| self.typed(field, item))
            .collect();
        self.leaves.push(start);
        Ok(Condition::Leaf(Leaf {
            field: field.to_owned(),
            operator: Operator::In,
            value: Some(Value::List(values)),
        }))
    }

    fn leaf(
        &mut self,
        start: usize,
        field: &str,
        comparator: Comparator,
        argument: Argument,
    ) -> Parsed<Condition> {
        let operator = self.operator(field, comparator, &argument)?;
        self.leaves.push(start);
        let value = (operator != Operator::Present).then(|| self.typed(field, argument));
        Ok(Condition::Leaf(Leaf {
            field: field.to_owned(),
            operator,
            value,
        }))
    }

    /// What the comparison asks, stars considered.
    fn operator(
        &self,
        field: &str,
        comparator: Comparator,
        argument: &Argument,
    ) -> Parsed<Operator> {
        let starred = argument.star_alone || argument.star_before || argument.star_after;
        let fault = |problem| Err(self.fault(argument.start, problem));
        match comparator {
            Comparator::Has if argument.star_alone => Ok(Operator::Present),
            Comparator::Eq if argument.star_alone => {
                fault(SyntaxProblem::StarAlone(field.to_owned()))
            }
            Comparator::Eq | Comparator::Has if starred => {
                match (argument.star_before, argument.star_after) {
                    (true, true) if self.is_collection(field) => {
                        fault(SyntaxProblem::StarsAround(field.to_owned()))
                    }
                    (true, true) => Ok(Operator::Has),
                    (true, false) => Ok(Operator::EndsWith),
                    _ => Ok(Operator::StartsWith),
                }
            }
            _ if starred => fault(SyntaxProblem::StarAfter),
            Comparator::Eq => Ok(Operator::Eq),
            Comparator::Ne => Ok(Operator::Ne),
            Comparator::Lt => Ok(Operator::Lt),
            Comparator::Le => Ok(Operator::Le),
            Comparator::Gt => Ok(Operator::Gt),
            Comparator::Ge => Ok(Operator::Ge),
            Comparator::Has => Ok(Operator::Has),
        }
    }

    fn is_collection(&self, field: &str) -> bool {
        self.schema
            .resolve(field)
            .is_some_and(|resolved| resolved.field.kind().is_collection())
    }

    /// The value by the type of the field; what does not fit stays a text, for the check to report.
    fn typed(&self, field: &str, argument: Argument) -> Value {
        let resolved = self.schema.resolve(field);
        let text = argument.text;
        match resolved.map(|resolved| resolved.field.kind()) {
            Some(FieldType::Bool) if text == "true" => Value::Bool(true),
            Some(FieldType::Bool) if text == "false" => Value::Bool(false),
            Some(FieldType::Integer) => text.parse().map_or(Value::Text(text), Value::Integer),
            _ => Value::Text(text),
        }
    }
}

fn unwrap_single(mut parts: Vec<Condition>, group: fn(Vec<Condition>) -> Condition) -> Condition {
    if parts.len() == 1 {
        parts.swap_remove(0)
    } else {
        group(parts)
    }
}
