//! What is insecure about the settings of a process. This is the only list of it: the log, the metric and `/health` all
//! use it. Writes no table.

use prometheus::{IntGaugeVec, Registry, opts};

/// A setting that is fit for a rehearsal and not for a shop that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Insecure {
    RateLimitsOff,
    AnyOrigin,
    PlainHttp,
    SimulatedPayments,
    Scripts,
    DemoUsers,
    PlainDatabase,
}

impl Insecure {
    /// The name of the setting, for the metric.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::RateLimitsOff => "RATE_LIMITS",
            Self::AnyOrigin => "CORS_ORIGINS",
            Self::PlainHttp => "API_ADDR",
            Self::SimulatedPayments => "PAYMENT_PROVIDER",
            Self::Scripts => "SIMULATED_SCRIPTS",
            Self::DemoUsers => "demo_users",
            Self::PlainDatabase => "DATABASE_URL",
        }
    }

    /// For the log and for `/health`. It names the setting, says what may happen, and what to do.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::RateLimitsOff => {
                "RATE_LIMITS=off: anybody may send any number of requests and try any number of passwords; set it to on"
            }
            Self::AnyOrigin => {
                "CORS_ORIGINS=*: every web page may call the API from a browser; name the origins instead"
            }
            Self::PlainHttp => {
                "API_ADDR is reachable from outside and speaks plain HTTP: put a proxy with TLS before it, or set TLS_CERT \
                 and TLS_KEY"
            }
            Self::SimulatedPayments => "PAYMENT_PROVIDER=simulated: orders are paid for without any money",
            Self::Scripts => {
                "SIMULATED_SCRIPTS=on: customers can delay payments and make them fail with payment tokens; set it to off"
            }
            Self::DemoUsers => {
                "an account of the demo shop (@millrace.test) is active, and API_ADDR is reachable from outside: everybody \
                 knows its password; deactivate it"
            }
            Self::PlainDatabase => {
                "DATABASE_URL goes to another machine, perhaps without TLS: add sslmode=verify-full to it"
            }
        }
    }
}

/// Logs each as a warning, and sets `millrace_insecure_settings{setting}` to 1.
pub fn report(found: &[Insecure], registry: &Registry) -> prometheus::Result<()> {
    let gauge = IntGaugeVec::new(
        opts!("millrace_insecure_settings", "1 for each setting of this process that is insecure"),
        &["setting"],
    )?;
    registry.register(Box::new(gauge.clone()))?;
    for insecure in found {
        gauge.with_label_values(&[insecure.setting()]).set(1);
        tracing::warn!(setting = insecure.setting(), "insecure: {}", insecure.sentence());
    }
    Ok(())
}

/// The sentences, for `/health`.
pub fn sentences(found: &[Insecure]) -> Vec<String> {
    found.iter().map(|insecure| insecure.sentence().to_owned()).collect()
}
