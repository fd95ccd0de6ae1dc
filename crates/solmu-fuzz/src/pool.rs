//! The inputs of one target, and how the next one is made of them.

use std::collections::HashSet;

use crate::{chance::Chance, change::changed, targets::Target};

/// Inputs that are kept; then new ones take the place of others that were found.
const INPUTS_MAX: usize = 4_000;
/// Longest input that joins, in bytes: short ones say more and are faster.
const KEPT_BYTES_MAX: usize = 16 * 1024;
/// One in so many inputs is made by the target's own rules, if it has some.
const MADE_ONCE_IN: usize = 5;

/// Inputs of a target.
#[derive(Debug)]
pub struct Pool {
    inputs: Vec<Vec<u8>>,
    /// Inputs that were there at the beginning and stay.
    given: usize,
    seen: HashSet<u64>,
    chance: Chance,
}

impl Pool {
    /// A pool of `inputs`.
    #[must_use]
    pub fn new(inputs: Vec<Vec<u8>>, seed: u64) -> Self {
        Self {
            given: inputs.len(),
            inputs,
            seen: HashSet::new(),
            chance: Chance::new(seed),
        }
    }

    /// The inputs that it began with.
    #[must_use]
    pub fn given(&self) -> &[Vec<u8>] {
        &self.inputs[..self.given]
    }

    /// How many ways of reading were seen.
    #[must_use]
    pub fn ways(&self) -> usize {
        self.seen.len()
    }

    /// The next input.
    pub fn next(&mut self, target: &dyn Target) -> Vec<u8> {
        let chance = &mut self.chance;
        let made = if chance.once_in(MADE_ONCE_IN) {
            target.make(chance)
        } else {
            None
        };
        let base = match made {
            Some(made) if chance.once_in(2) => return made,
            Some(made) => made,
            None if self.inputs.is_empty() => Vec::new(),
            None => chance.pick(&self.inputs).clone(),
        };
        changed(
            chance,
            &base,
            &self.inputs,
            target.words(),
            target.longest(),
        )
    }

    /// Keeps an input that was read in a way that was not seen before.
    pub fn learn(&mut self, input: &[u8], way: u64) {
        if !self.seen.insert(way) || input.len() > KEPT_BYTES_MAX {
            return;
        }
        if self.inputs.len() < INPUTS_MAX {
            self.inputs.push(input.to_vec());
        } else if self.given < INPUTS_MAX {
            let place = self.given + self.chance.below(INPUTS_MAX - self.given);
            input.clone_into(&mut self.inputs[place]);
        }
    }
}
