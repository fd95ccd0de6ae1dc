//! Disjoint sets of numbers, joined one pair at a time.

/// Sets over `0..n`. The smallest member stands for its set, so that the outcome does not depend on the order of joins.
#[derive(Debug, Clone)]
pub(crate) struct Sets {
    parent: Vec<usize>,
}

impl Sets {
    /// Each number alone.
    pub(crate) fn new(n: usize) -> Self {
        Self {
            parent: (0..n).collect(),
        }
    }

    /// The member that stands for the set of `x`.
    pub(crate) fn find(&mut self, x: usize) -> usize {
        let mut root = x;
        while self.parent[root] != root {
            root = self.parent[root];
        }
        let mut at = x;
        while self.parent[at] != root {
            at = std::mem::replace(&mut self.parent[at], root);
        }
        root
    }

    /// Joins two sets; returns who stands for both and who no longer stands for one, unless they were one before.
    pub(crate) fn join(&mut self, a: usize, b: usize) -> Option<(usize, usize)> {
        let (a, b) = (self.find(a), self.find(b));
        if a == b {
            return None;
        }
        let (kept, gone) = (a.min(b), a.max(b));
        self.parent[gone] = kept;
        Some((kept, gone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_stands_for_all() {
        let mut sets = Sets::new(5);
        assert_eq!(sets.join(4, 2), Some((2, 4)));
        assert_eq!(sets.join(3, 4), Some((2, 3)));
        assert_eq!(sets.join(2, 3), None);
        assert_eq!([0, 2, 3, 4].map(|x| sets.find(x)), [0, 2, 2, 2]);
    }
}
