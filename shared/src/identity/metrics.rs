//! Counts sign-ins by their outcome, and the passwords that were checked. Writes no table.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// What became of an attempt to sign in, or to confirm a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum SignInOutcome {
    SignedIn,
    /// The password was right, and the second factor is missing.
    CodeMissing,
    /// Password or second factor were wrong, or there is no such account.
    Wrong,
    /// Too many were wrong before, so nothing was checked.
    Refused,
}

/// Counters of one process.
pub struct IdentityMetrics {
    sign_ins: IntCounterVec,
    /// How often a password was hashed to check it.
    pub(super) password_checks: IntCounter,
}

impl IdentityMetrics {
    pub(super) fn new() -> prometheus::Result<Self> {
        let help = "Attempts to sign in or to confirm a password, by their outcome";
        let sign_ins = IntCounterVec::new(Opts::new("millrace_sign_ins_total", help), &["outcome"])?;
        for outcome in
            [SignInOutcome::SignedIn, SignInOutcome::CodeMissing, SignInOutcome::Wrong, SignInOutcome::Refused]
        {
            sign_ins.with_label_values(&[<&str>::from(outcome)]);
        }
        let help = "Passwords that were hashed to check them";
        Ok(Self { sign_ins, password_checks: IntCounter::new("millrace_password_checks_total", help)? })
    }

    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.sign_ins.clone()))?;
        registry.register(Box::new(self.password_checks.clone()))
    }

    pub fn count(&self, outcome: SignInOutcome) {
        self.sign_ins.with_label_values(&[<&str>::from(outcome)]).inc();
    }

    pub fn password_checks(&self) -> u64 {
        self.password_checks.get()
    }
}
