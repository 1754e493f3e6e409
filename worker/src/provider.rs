//! Calls to the payment provider: only while the lease is valid, and with a time limit.

use std::time::Duration;

use shared::payments::ProviderError;
use shared::queue::LeasedJob;
use tracing::{Instrument, info_span};

use crate::error::JobError;

/// After this we treat the answer as unknown. The client of a real provider gives up much sooner. The slowest script of
/// the simulated one takes 30 s; the worker renews the lease meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);

/// Calls the provider, unless the lease of the job may have expired.
pub async fn ask<T>(
    job: &LeasedJob,
    verb: &'static str,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, JobError> {
    if !job.lease.allows_calls() {
        return Err(JobError::Transient("the lease could not be renewed, so the provider was not called".to_owned()));
    }
    let call =
        call.instrument(info_span!("provider", otel.name = verb, otel.kind = "client", peer = "payment provider"));
    let answer = tokio::time::timeout(ANSWER_WITHIN, call).await.unwrap_or(Err(ProviderError::Unknown));
    answer.map_err(|error| JobError::Transient(error.to_string()))
}
