//! Sets of agents as bits, so that "who of this team has this skill and is free" is a few machine words.

/// A set of small numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

const WIDTH: usize = u64::BITS as usize;

impl Bits {
    /// Puts a number in or takes it out.
    pub(crate) fn set(&mut self, number: usize, inside: bool) {
        let (word, bit) = (number / WIDTH, 1_u64 << (number % WIDTH));
        if inside {
            if self.0.len() <= word {
                self.0.resize(word + 1, 0);
            }
            self.0[word] |= bit;
        } else if let Some(found) = self.0.get_mut(word) {
            *found &= !bit;
        }
    }

    /// Whether both have a number in common.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(one, two)| one & two != 0)
    }

    #[cfg(test)]
    pub(crate) fn has(&self, number: usize) -> bool {
        let found = self.0.get(number / WIDTH).copied().unwrap_or(0);
        found & (1_u64 << (number % WIDTH)) != 0
    }

    /// The numbers that are in one of `any` and in all of `all`, in growing order.
    pub(crate) fn each_of(any: &[&Self], all: &[Need<'_>], mut visit: impl FnMut(usize)) {
        let words = any.iter().map(|set| set.0.len()).max().unwrap_or(0);
        for index in 0..words {
            let mut word = any.iter().fold(0, |word, set| word | set.word(index));
            for need in all {
                word &= need.set.word(index) | need.or.map_or(0, |or| or.word(index));
            }
            while word != 0 {
                let bit = word.trailing_zeros();
                word &= word - 1;
                visit(index * WIDTH + bit as usize);
            }
        }
    }

    fn word(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or(0)
    }
}

/// In the set, or else in the other one.
pub(crate) struct Need<'a> {
    pub(crate) set: &'a Bits,
    pub(crate) or: Option<&'a Bits>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_meet() {
        let (mut team, mut helpers, mut finnish) =
            (Bits::default(), Bits::default(), Bits::default());
        for number in [1, 64, 130] {
            team.set(number, true);
        }
        helpers.set(200, true);
        for number in [64, 200, 3] {
            finnish.set(number, true);
        }
        let any_language = {
            let mut bits = Bits::default();
            bits.set(130, true);
            bits
        };
        assert!(team.meets(&finnish) && !helpers.meets(&team));
        let mut found = Vec::new();
        let need = Need {
            set: &finnish,
            or: Some(&any_language),
        };
        Bits::each_of(&[&team, &helpers], &[need], |number| found.push(number));
        assert_eq!(found, [64, 130, 200]);
        team.set(64, false);
        team.set(9_999, false);
        assert!(team.has(1) && !team.has(64) && !team.has(9_999));
    }
}
