//! Bounds guesses at passwords and codes. The API and the pages use it for everything that takes one. Writes no table.

use std::net::IpAddr;
use std::sync::Arc;

use sqlx::PgPool;

use super::authenticate::Identity;
use super::known_networks::{self, Account};
use super::metrics::SignInOutcome;
use crate::error::{Error, Result};
use crate::platform::limits::{Class, Limit, Limiter, OF_A_SITE};
use crate::platform::networks::{self, Network};
use crate::principal::{Principal, Source};

/// How many attempts of one account may be wrong, and how many accounts one network may make.
#[derive(Debug, Clone, Copy)]
pub struct AttemptLimits {
    /// From one network.
    pub account: Limit,
    /// From all networks together.
    pub account_all: Limit,
    /// New accounts, from one network.
    pub register: Limit,
}

/// Counts wrong passwords and codes.
pub struct Attempts {
    db: PgPool,
    limiter: Arc<Limiter>,
    identity: Arc<Identity>,
    /// `None` while rate limits are off.
    limits: Option<AttemptLimits>,
}

impl Attempts {
    pub fn new(db: PgPool, limiter: Arc<Limiter>, identity: Arc<Identity>, limits: Option<AttemptLimits>) -> Self {
        Self { db, limiter, identity, limits }
    }

    /// Runs an attempt to use a password or a code, unless too many were wrong for this account. An account that does not
    /// exist is treated alike.
    ///
    /// Each attempt counts for the account and the network it comes from, and for the account over all networks. When the
    /// second limit is used up, only networks from which the account has signed in lately may go on, within the first limit.
    /// So many addresses do not make many guesses, and nobody locks the owner out of the places where they sign in.
    ///
    /// An attempt is counted before it runs, so that attempts in parallel count too; one that was not wrong is given back.
    pub async fn run<T>(
        &self,
        account: &Account,
        source: &Source,
        attempt: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut taken = Vec::new();
        for (class, subject, limit) in self.buckets(account, source.address) {
            let state = self.limiter.take(class, &subject, limit).await;
            let Some(retry_after_seconds) = state.retry_after_seconds() else {
                taken.push((class, subject, limit));
                continue;
            };
            if class == Class::AccountAll && self.is_known(account, source.address).await? {
                continue;
            }
            self.give_back(taken).await;
            self.identity.metrics.count(SignInOutcome::Refused);
            return Err(Error::RateLimited { retry_after_seconds });
        }
        let outcome = attempt.await;
        if !matches!(outcome, Err(Error::InvalidCredentials | Error::InvalidCode)) {
            self.give_back(taken).await;
        }
        outcome
    }

    /// The same for what a signed-in person does with their own password or code.
    pub async fn of_person<T>(&self, principal: &Principal, attempt: impl Future<Output = Result<T>>) -> Result<T> {
        let account = Account::User(principal.require_person()?.user_id);
        self.run(&account, &principal.source, attempt).await
    }

    /// Counts a new account, or refuses it. Call it when the form is in order: one that was filled in wrongly is no account.
    pub async fn new_account(&self, source: &Source) -> Result<()> {
        let Some(limits) = self.limits else { return Ok(()) };
        let mut buckets = vec![(networks::key(source.address), limits.register)];
        buckets.extend(networks::site_key(source.address).map(|site| (site, limits.register.times(OF_A_SITE))));
        for (subject, limit) in buckets {
            let state = self.limiter.take(Class::Register, &subject, limit).await;
            if let Some(retry_after_seconds) = state.retry_after_seconds() {
                return Err(Error::RateLimited { retry_after_seconds });
            }
        }
        Ok(())
    }

    /// The buckets that an attempt counts in. None while rate limits are off.
    fn buckets(&self, account: &Account, address: Option<IpAddr>) -> Vec<(Class, String, Limit)> {
        let Some(limits) = self.limits else { return Vec::new() };
        let account = account.bucket();
        let network = networks::key(address);
        let mut buckets = vec![(Class::Account, format!("{account}|{network}"), limits.account)];
        if let Some(site) = networks::site_key(address) {
            buckets.push((Class::Account, format!("{account}|{site}"), limits.account.times(OF_A_SITE)));
        }
        buckets.push((Class::AccountAll, account, limits.account_all));
        buckets
    }

    async fn is_known(&self, account: &Account, address: Option<IpAddr>) -> Result<bool> {
        match address {
            Some(address) => known_networks::knows(&self.db, account, Network::of(address)).await,
            None => Ok(false),
        }
    }

    async fn give_back(&self, taken: Vec<(Class, String, Limit)>) {
        for (class, subject, limit) in taken {
            self.limiter.give_back(class, &subject, limit).await;
        }
    }
}
