//! What somebody searches for among products.

use serde::Deserialize;

use crate::invalid::Invalid;

/// The text of a search.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Search(String);

impl Search {
    pub const MAX_CHARACTERS: usize = 100;
    /// The index consists of groups of three characters, so it cannot find fewer in the middle of a word.
    const ANYWHERE: usize = 3;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For `like`, on the column `products.search`.
    pub fn pattern(&self) -> String {
        // In the column `search`, each word has a blank before it.
        let start = if self.is_short() { "% " } else { "%" };
        format!("{start}{}%", self.literal())
    }

    /// For `like`, on a text in lower case that begins like this.
    pub fn begins(&self) -> String {
        format!("{}%", self.literal().to_lowercase())
    }

    /// For `like`, on a text in lower case that has this in it. None: it is too short for the index.
    pub fn contains(&self) -> Option<String> {
        (!self.is_short()).then(|| format!("%{}%", self.literal().to_lowercase()))
    }

    fn is_short(&self) -> bool {
        self.0.chars().count() < Self::ANYWHERE
    }

    fn literal(&self) -> String {
        self.0.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
    }
}

impl TryFrom<String> for Search {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        if text.chars().count() > Self::MAX_CHARACTERS {
            let message = format!("a search text has at most {} characters", Self::MAX_CHARACTERS);
            return Err(Invalid::new("invalid_search", message));
        }
        Ok(Self(text.trim().to_owned()))
    }
}

impl std::str::FromStr for Search {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.to_owned().try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_mean_what_was_typed() {
        for (typed, pattern) in [
            ("", "% %"),
            ("m", "% m%"),
            ("Mu", "% Mu%"),
            (" mug ", "%mug%"),
            ("100%", r"%100\%%"),
            ("a_b", r"%a\_b%"),
            (r"\", r"% \\%"),
            ("äö", "% äö%"),
        ] {
            assert_eq!(Search::try_from(typed.to_owned()).unwrap().pattern(), pattern);
        }
        assert_eq!(Search::try_from("x".repeat(101)).unwrap_err().code, "invalid_search");
    }
}
