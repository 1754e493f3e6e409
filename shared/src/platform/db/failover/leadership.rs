//! The rule that decides which server is the primary, from the answers of all servers. Writes no table.

use std::cmp::Reverse;

/// The server that we use as the primary, and the timeline on which it became the primary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Its index in the list of servers. None: there is no primary at the moment.
    pub server: Option<usize>,
    pub timeline: i64,
}

/// The answer of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRole {
    Standby,
    /// Each promotion starts a new timeline with a higher number. So if two servers say that they are the primary, the one
    /// with the higher timeline is.
    Primary {
        timeline: i64,
    },
}

impl Leadership {
    /// The leadership after these answers, one for each server; None is a server that did not answer.
    ///
    /// - A server on an older timeline than one we have seen is never the primary. It was replaced and does not know yet.
    /// - No other server takes over on the same timeline: the primary may only be slow to answer.
    pub fn after(self, answers: &[Option<ServerRole>]) -> Self {
        let claims = answers.iter().enumerate().filter_map(|(server, role)| match role {
            Some(ServerRole::Primary { timeline }) => Some(Self { server: Some(server), timeline: *timeline }),
            _ => None,
        });
        let is_valid = |claim: &Self| {
            claim.timeline > self.timeline
                || claim.timeline == self.timeline && (self.server.is_none() || claim.server == self.server)
        };
        let best = claims.filter(is_valid).max_by_key(|claim| (claim.timeline, Reverse(claim.server)));
        let was_demoted = self.server.is_some_and(|server| answers[server] == Some(ServerRole::Standby));
        best.unwrap_or(if was_demoted { Self { server: None, ..self } } else { self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDBY: Option<ServerRole> = Some(ServerRole::Standby);
    const SILENT: Option<ServerRole> = None;

    const fn primary(timeline: i64) -> ServerRole {
        ServerRole::Primary { timeline }
    }

    const fn leads(server: usize, timeline: i64) -> Leadership {
        Leadership { server: Some(server), timeline }
    }

    #[test]
    fn the_primary_is_the_server_that_was_promoted_last() {
        let nobody = Leadership { server: None, timeline: 3 };
        for (before, answers, after) in [
            // At the start.
            (Leadership::default(), [SILENT, SILENT], Leadership::default()),
            (Leadership::default(), [STANDBY, STANDBY], Leadership::default()),
            (Leadership::default(), [STANDBY, Some(primary(1))], leads(1, 1)),
            (Leadership::default(), [Some(primary(4)), Some(primary(3))], leads(0, 4)),
            (Leadership::default(), [Some(primary(2)), Some(primary(2))], leads(0, 2)),
            // A promotion; the old primary is gone, unaware, or already a standby.
            (leads(0, 3), [SILENT, Some(primary(4))], leads(1, 4)),
            (leads(0, 3), [Some(primary(3)), Some(primary(4))], leads(1, 4)),
            (leads(0, 3), [STANDBY, Some(primary(4))], leads(1, 4)),
            // The old primary comes back, alone.
            (leads(1, 4), [Some(primary(3)), SILENT], leads(1, 4)),
            (leads(1, 4), [Some(primary(3)), STANDBY], Leadership { server: None, timeline: 4 }),
            // A primary that is slow to answer stays the primary; another server on its timeline does not replace it.
            (leads(0, 3), [SILENT, STANDBY], leads(0, 3)),
            (leads(0, 3), [SILENT, Some(primary(3))], leads(0, 3)),
            (leads(0, 3), [Some(primary(3)), Some(primary(3))], leads(0, 3)),
            // The primary is demoted, and then there is a new one.
            (leads(0, 3), [STANDBY, STANDBY], nobody),
            (nobody, [STANDBY, Some(primary(2))], nobody),
            (nobody, [STANDBY, Some(primary(4))], leads(1, 4)),
            (nobody, [Some(primary(3)), STANDBY], leads(0, 3)),
        ] {
            assert_eq!(before.after(&answers), after, "{before:?} {answers:?}");
        }
    }
}
