//! Who of those that share one value may be one person, by the names they wrote under.

use crate::{Name, sighting::Seen};

/// Members of one value. All members are positions in canonical order, each list ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Groups {
    /// Those with full names, together with those whose names agree.
    pub(crate) full: Vec<Vec<usize>>,
    /// Those with one part of a name that fits exactly one group: member and group.
    pub(crate) fitting: Vec<(usize, usize)>,
    /// Those with one part of a name that fits no group, by that part.
    pub(crate) partial: Vec<Vec<usize>>,
    /// Those that fit several groups.
    pub(crate) torn: Vec<usize>,
    /// Those without any name.
    pub(crate) nameless: Vec<usize>,
}

impl Groups {
    /// Groups `members`, which are in ascending order.
    pub(crate) fn of(members: &[usize], seen: &[Seen]) -> Self {
        let mut groups = Self::default();
        let name = |member: usize| &seen[member].name;
        for &member in members.iter().filter(|&&member| name(member).is_full()) {
            groups.add_full(member, name);
        }
        for &member in members.iter().filter(|&&member| !name(member).is_full()) {
            groups.add_partial(member, name);
        }
        groups
    }

    /// Adds a full name; groups that it connects become one.
    fn add_full<'a>(&mut self, member: usize, name: impl Fn(usize) -> &'a Name) {
        let (mut same, other): (Vec<_>, Vec<_>) = std::mem::take(&mut self.full)
            .into_iter()
            .partition(|group| group.iter().any(|&it| name(it).agrees(name(member))));
        let mut group: Vec<usize> = same.drain(..).flatten().collect();
        group.push(member);
        group.sort_unstable();
        self.full = other;
        self.full.push(group);
        self.full.sort_unstable();
    }

    fn add_partial<'a>(&mut self, member: usize, name: impl Fn(usize) -> &'a Name) {
        let own = name(member);
        if own.is_empty() {
            self.nameless.push(member);
            return;
        }
        let fits: Vec<usize> = (0..self.full.len())
            .filter(|&group| self.full[group].iter().any(|&it| own.is_part_of(name(it))))
            .collect();
        match fits.as_slice() {
            [group] => self.fitting.push((member, *group)),
            [] => match self.partial.iter_mut().find(|it| name(it[0]) == own) {
                Some(same) => same.push(member),
                None => self.partial.push(vec![member]),
            },
            _ => self.torn.push(member),
        }
    }

    /// The one group that those without a name belong to: only if nobody else uses the value.
    pub(crate) fn only(&self) -> Option<&[usize]> {
        match (self.full.as_slice(), self.partial.as_slice()) {
            ([group], []) | ([], [group]) => Some(group),
            _ => None,
        }
    }

    /// How many people seem to use the value.
    pub(crate) fn people(&self) -> usize {
        self.full.len() + self.partial.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(names: &[&str]) -> Vec<Seen> {
        let seen = names.iter().map(|name| Seen {
            id: String::new(),
            at: 0,
            name: Name::parse(name),
            marks: Vec::new(),
        });
        seen.collect()
    }

    #[test]
    fn names_make_groups() {
        let seen = seen(&[
            "Aino Virtanen",
            "Matti Virtanen",
            "VIRTANEN AINO",
            "Matti",
            "Virtanen",
            "",
            "Olga",
        ]);
        let groups = Groups::of(&[0, 1, 2, 3, 4, 5, 6], &seen);
        assert_eq!(groups.full, [vec![0, 2], vec![1]]);
        assert_eq!(groups.fitting, [(3, 1)]);
        assert_eq!((groups.torn, groups.nameless), (vec![4], vec![5]));
        assert_eq!(groups.partial, [vec![6]]);
    }

    #[test]
    fn a_long_name_connects_two_short_ones() {
        let seen = seen(&["Anna Maria", "Maria Lind", "Anna Maria Lind"]);
        let groups = Groups::of(&[0, 1, 2], &seen);
        assert_eq!(groups.full, [vec![0, 1, 2]]);
        assert_eq!(groups.only(), Some([0, 1, 2].as_slice()));
    }
}
