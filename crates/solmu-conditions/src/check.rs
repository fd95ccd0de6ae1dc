//! Checks a condition against a schema and makes it ready: every fault is reported at once, each at its place.

use std::fmt;

use crate::compiled::{CompiledLeaf, LeafCompiler, Node};
use crate::condition::{Condition, Leaf};
use crate::filter::print;
use crate::schema::Schema;
use crate::violation::{Problem, Violation};

/// How many faults are reported; more help nobody.
const MAX_VIOLATIONS: usize = 50;

/// A condition that fits its schema: it can be evaluated, explained, pushed into SQL and written as a filter. It keeps
/// what it needs of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub(crate) condition: Condition,
    pub(crate) root: Node,
}

impl Checked {
    /// The condition to store. Values are in canonical form (instants in UTC, ids in lower case) and groups of one part
    /// are that part, so equal conditions are stored equal.
    pub const fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Declared names of the fields that are looked at, each once, maps without their keys: what has to be loaded before
    /// the condition can be evaluated.
    pub fn fields(&self) -> Vec<&str> {
        let mut fields = Vec::new();
        self.root
            .each_leaf(&mut |leaf| fields.push(leaf.field.as_str()));
        fields.sort_unstable();
        fields.dedup();
        fields
    }

    /// The condition in the grammar of AIP-160; [`crate::parse`] reads it back as the same.
    pub fn to_filter_string(&self) -> String {
        print::filter_string(&self.root)
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_filter_string())
    }
}

impl Node {
    fn to_condition(&self) -> Condition {
        match self {
            Self::All(parts) => Condition::All(parts.iter().map(Self::to_condition).collect()),
            Self::Any(parts) => Condition::Any(parts.iter().map(Self::to_condition).collect()),
            Self::Not(part) => Condition::negated(part.to_condition()),
            Self::Leaf(leaf) => Condition::Leaf(leaf.leaf.clone()),
        }
    }

    pub(crate) fn each_leaf<'a>(&'a self, visit: &mut impl FnMut(&'a CompiledLeaf)) {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.each_leaf(visit);
                }
            }
            Self::Not(part) => part.each_leaf(visit),
            Self::Leaf(leaf) => visit(leaf),
        }
    }
}

impl Schema {
    /// Checks `condition` against the declared fields and bounds; reports up to 50 faults.
    pub fn check(&self, condition: &Condition) -> Result<Checked, Vec<Violation>> {
        self.check_at(condition, &[])
    }

    /// [`Schema::check`] with the position of each leaf in the filter string it was read from.
    pub(crate) fn check_at(
        &self,
        condition: &Condition,
        positions: &[usize],
    ) -> Result<Checked, Vec<Violation>> {
        let mut walk = Checker {
            schema: self,
            positions,
            leaves: 0,
            parts: 0,
            too_deep: false,
            path: String::new(),
            violations: Vec::new(),
        };
        let root = match condition {
            Condition::All(parts) if parts.is_empty() => Some(Node::All(Vec::new())),
            _ => walk.node(condition, 1),
        };
        let (Some(root), true) = (root, walk.violations.is_empty()) else {
            return Err(walk.violations);
        };
        let checked = Checked {
            condition: root.to_condition(),
            root,
        };
        let limit = self.limits().filter_bytes;
        if checked.to_filter_string().len() > limit {
            walk.report(None, Problem::TooLong { limit });
            return Err(walk.violations);
        }
        Ok(checked)
    }
}

struct Checker<'a> {
    schema: &'a Schema,
    positions: &'a [usize],
    leaves: usize,
    parts: usize,
    too_deep: bool,
    path: String,
    violations: Vec<Violation>,
}

impl Checker<'_> {
    fn report(&mut self, leaf: Option<&Leaf>, problem: Problem) {
        if self.violations.len() < MAX_VIOLATIONS {
            let position =
                leaf.and_then(|_| self.positions.get(self.leaves.saturating_sub(1)).copied());
            let field = leaf.map(|leaf| leaf.field.clone());
            self.violations.push(Violation {
                path: self.path.clone(),
                field,
                position,
                problem,
            });
        }
    }

    /// Nothing when there is something to report in it.
    fn node(&mut self, condition: &Condition, depth: usize) -> Option<Node> {
        let limit = self.schema.limits().bounded_depth();
        if depth > limit {
            if !std::mem::replace(&mut self.too_deep, true) {
                self.report(None, Problem::TooDeep { limit });
            }
            return None;
        }
        match condition {
            Condition::All(parts) => self
                .group("all", parts, depth)
                .map(|parts| unwrap_single(parts, Node::All)),
            Condition::Any(parts) => self
                .group("any", parts, depth)
                .map(|parts| unwrap_single(parts, Node::Any)),
            Condition::Not(part) => self
                .within("/not", |checker| checker.node(part, depth + 1))
                .map(|part| Node::Not(Box::new(part))),
            Condition::Leaf(leaf) => self.leaf(leaf),
        }
    }

    fn group(&mut self, name: &str, parts: &[Condition], depth: usize) -> Option<Vec<Node>> {
        if parts.is_empty() {
            self.report(None, Problem::EmptyGroup);
            return None;
        }
        let mut nodes = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if self.leaves > self.schema.limits().leaves {
                return None;
            }
            nodes.extend(self.within(&format!("/{name}/{index}"), |checker| {
                checker.node(part, depth + 1)
            }));
        }
        (nodes.len() == parts.len()).then_some(nodes)
    }

    fn leaf(&mut self, leaf: &Leaf) -> Option<Node> {
        self.leaves += 1;
        let limits = self.schema.limits();
        if self.leaves > limits.leaves {
            if self.leaves == limits.leaves + 1 {
                self.report(
                    None,
                    Problem::TooManyLeaves {
                        limit: limits.leaves,
                    },
                );
            }
            return None;
        }
        let Some(resolved) = self.schema.resolve(&leaf.field) else {
            let problem = Problem::UnknownField {
                field: leaf.field.chars().take(100).collect(),
                suggestion: self.schema.suggestion(&leaf.field),
                known: self.schema.names(),
            };
            self.report(Some(leaf), problem);
            return None;
        };
        match (LeafCompiler {
            resolved,
            leaf,
            schema: self.schema,
            limits,
        })
        .compile()
        {
            Ok(compiled) => {
                self.parts += usize::from(compiled.asks_for_part());
                if self.parts > limits.parts {
                    if self.parts == limits.parts + 1 {
                        let limit = limits.parts;
                        self.report(Some(leaf), Problem::TooManyParts { limit });
                    }
                    return None;
                }
                Some(Node::Leaf(Box::new(compiled)))
            }
            Err(problem) => {
                self.report(Some(leaf), problem);
                None
            }
        }
    }

    fn within<T>(&mut self, step: &str, inner: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(step);
        let result = inner(self);
        self.path.truncate(length);
        result
    }
}

fn unwrap_single(mut parts: Vec<Node>, group: fn(Vec<Node>) -> Node) -> Node {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            group(parts)
        }
        None => group(parts),
    }
}
