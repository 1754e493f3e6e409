//! The password that a user may choose: long enough, not common, not their own name. Writes no table.

use std::sync::LazyLock;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Email, Name};
use crate::invalid::Invalid;

/// A password that a user may choose. It is never printed.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, format = "password", min_length = 8, max_length = 128, pattern = r"^[^\u0000]*$")]
pub struct NewPassword(SecretString);

/// The 10,000 most common passwords, sorted; `shared/data/README.md` says where they come from. Attackers try these first.
static COMMON_PASSWORDS: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("../../data/common_passwords.txt").lines().collect());

impl NewPassword {
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Refuses the user's own address, the part of it before the `@`, and their name, in whatever case.
    pub fn refuse_own(&self, email: &Email, name: &Name) -> Result<(), Invalid> {
        let chosen = self.expose().trim().to_lowercase();
        let own = [email.as_str(), email.local_part(), name.as_str()];
        if own.iter().any(|own| own.to_lowercase() == chosen) {
            let message = "this is your own address or name, which others know; choose another password";
            return Err(Invalid::new("weak_password", message));
        }
        Ok(())
    }
}

impl TryFrom<String> for NewPassword {
    type Error = Invalid;

    /// The upper bound protects the hash function, which is slow by design, from a password of a megabyte.
    fn try_from(text: String) -> Result<Self, Invalid> {
        if !(8..=128).contains(&text.chars().count()) {
            return Err(Invalid::new("weak_password", "a password has 8 to 128 characters"));
        }
        if text.trim().is_empty() || COMMON_PASSWORDS.binary_search(&&*text.to_lowercase()).is_ok() {
            let message =
                "this is one of the 10,000 most common passwords; choose another, such as some unrelated words";
            return Err(Invalid::new("weak_password", message));
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords() {
        assert!(COMMON_PASSWORDS.len() == 10_000 && COMMON_PASSWORDS.is_sorted());
        assert!(COMMON_PASSWORDS.iter().all(|it| it.len() >= 8 && it.to_lowercase() == **it));
        let (email, name) = ("Alice.Archer@example.com".parse().unwrap(), "Alice B. Archer".parse().unwrap());
        for (text, fine) in [
            ("correct horse battery", true),
            ("demo-admin-2026", true),
            ("1234567", false),
            ("12345678", false),
            ("PassWord", false),
            ("iloveyou1", false),
            ("        ", false),
            ("alice.archer@EXAMPLE.com", false),
            ("ALICE.archer", false),
            ("alice b. archer", false),
            ("alice b. archer 7", true),
        ] {
            let chosen = NewPassword::try_from(text.to_owned()).and_then(|it| it.refuse_own(&email, &name));
            assert_eq!(chosen.is_ok(), fine, "{text}");
            assert!(chosen.is_ok() || chosen.unwrap_err().code == "weak_password");
        }
    }
}
