//! Compares the limit of open files with the connections that the process may hold.

/// For what is not a client's connection: Postgres, Redis, the log, the key.
const OTHERS: u64 = 100;

/// Without this the API would only fail under load: Postgres and Redis cannot be reached when no descriptor is left.
pub fn warn_if_few(max_connections: u32) {
    // Other systems than Linux have no such file, and are not what one serves customers from.
    let Ok(limits) = std::fs::read_to_string("/proc/self/limits") else { return };
    let needed = u64::from(max_connections) + OTHERS;
    if let Some(limit) = soft_limit(&limits).filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            max_connections,
            "the process may open {limit} files, and MAX_CONNECTIONS={max_connections} needs {needed}: \
             raise `ulimit -n` or lower MAX_CONNECTIONS"
        );
    }
}

/// The soft limit; none if it is unlimited.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::soft_limit;

    #[test]
    fn the_soft_limit_is_the_first_number() {
        let head = "Limit                     Soft Limit           Hard Limit           Units     \n";
        for (line, limit) in [
            ("Max open files            1024                 524288               files     ", Some(1024)),
            ("Max open files            unlimited            unlimited            files     ", None),
            ("Max processes             7                    7                    processes ", None),
        ] {
            assert_eq!(soft_limit(&format!("{head}{line}\n")), limit, "{line}");
        }
    }
}
