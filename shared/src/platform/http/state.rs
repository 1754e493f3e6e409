//! What the socket, the requests and the task of one connection share.

use std::net::SocketAddr;

use super::activity::{Activity, EndReason};
use super::limits::Limits;
use super::places::Place;

pub(super) struct ConnectionState {
    pub(super) place: Place,
    pub(super) peer: SocketAddr,
    pub(super) limits: Limits,
    pub(super) activity: Activity,
}

impl ConnectionState {
    pub(super) fn count(&self, reason: EndReason) {
        self.place.places.metrics.ended.with_label_values(&[reason.name()]).inc();
    }
}
