//! The nouns of Bezant and their bytes: ids, amounts, commands, outcomes, frames.
