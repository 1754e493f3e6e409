//! The invariants: what must always be true, each as a query for the rows that break it.

use crate::orders::status::Status;

/// One thing that must be true, and the query for its offenders.
pub(super) struct Invariant {
    pub name: &'static str,
    pub offenders: Of,
}

/// The query returns `(key, offender)`, sorted by the key, at most `$1` rows. It is not checked at compile time: each
/// `query!` has its own type, so they make no list. The tests run every query. `with_states` fills in the names in
/// braces.
pub(super) enum Of {
    /// What it reads does not grow with history.
    All(&'static str),
    /// What it reads grows with every order, so it looks only at the ids from `$2` and before `$3`.
    Orders(&'static str),
    /// The same, of the orders whose items and events are still in the database.
    Timelines(&'static str),
}

/// Fills in the states of orders: `{open}` with `{open_stages}`, `{charged}`, `{uncharged}`, `{left}` as lists for `in`, and
/// `{next_jobs}` as the branches of a `case`.
pub(super) fn with_states(sql: &str) -> String {
    let quoted = |names: Vec<&str>| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let list = |keep: fn(Status) -> bool| quoted(Status::names(keep));
    let next_jobs: Vec<_> =
        Status::next_jobs().iter().map(|(status, job)| format!("when '{status}' then '{job}'")).collect();
    sql.replace("{open}", &list(|status| !status.is_final()))
        .replace("{open_stages}", &quoted(Status::stages(|status| !status.is_final())))
        .replace("{charged}", &list(Status::is_charged))
        .replace("{uncharged}", &list(Status::is_uncharged))
        .replace("{left}", &list(Status::has_left))
        .replace("{next_jobs}", &next_jobs.join(" "))
}

pub(super) const LEDGER: &str = "stock_is_the_sum_of_its_movements";

pub(super) const INVARIANTS: [Invariant; 17] = [
    Invariant {
        name: "reserved_is_what_reservations_hold",
        offenders: Of::All("
            select i.product_id || ' ' || i.warehouse_id,
                   jsonb_build_object('product_id', i.product_id, 'warehouse_id', i.warehouse_id,
                                      'reserved', i.reserved, 'held_by_reservations', coalesce(h.quantity, 0))
              from inventory i
              left join (select l.product_id, l.warehouse_id, sum(l.quantity) as quantity
                           from reservations r join reservation_lines l on l.reservation_id = r.id
                          where r.state in ('held', 'posted') group by 1, 2) h using (product_id, warehouse_id)
             where i.reserved <> coalesce(h.quantity, 0)
             order by 1 limit $1"),
    },
    Invariant {
        name: LEDGER,
        offenders: Of::All("
            select product_id || ' ' || warehouse_id,
                   jsonb_build_object('product_id', product_id, 'warehouse_id', warehouse_id,
                                      'on_hand', on_hand, 'on_hand_by_movements', moved_on_hand,
                                      'reserved', reserved, 'reserved_by_movements', moved_reserved)
              from (select product_id, warehouse_id, i.on_hand, i.reserved,
                           coalesce(c.on_hand, 0) + coalesce(m.on_hand, 0) as moved_on_hand,
                           coalesce(c.reserved, 0) + coalesce(m.reserved, 0) as moved_reserved
                      from inventory i
                      left join stock_checkpoints c using (product_id, warehouse_id)
                      left join (select product_id, warehouse_id,
                                        sum(on_hand_delta) as on_hand, sum(reserved_delta) as reserved
                                   from stock_movements where id >= (select before from stock_checkpointed)
                                  group by 1, 2) m using (product_id, warehouse_id)) rows
             where (on_hand, reserved) <> (moved_on_hand, moved_reserved)
             order by 1 limit $1"),
    },
    Invariant {
        name: "stock_is_never_negative",
        offenders: Of::All("
            select product_id || ' ' || warehouse_id,
                   jsonb_build_object('product_id', product_id, 'warehouse_id', warehouse_id,
                                      'on_hand', on_hand, 'reserved', reserved)
              from inventory where not (0 <= reserved and reserved <= on_hand)
             order by 1 limit $1"),
    },
    // Foreign keys would check the same, row by row, while orders are placed.
    Invariant {
        name: "rows_have_their_parents",
        offenders: Of::Orders("
            select * from (
                select order_id::text, jsonb_build_object('order_id', order_id, 'no_order_for', of)
                  from (select order_id, 'order_items' as of from order_items where order_id >= $2 and order_id < $3
                        union all
                        select order_id, 'order_events' from order_events where order_id >= $2 and order_id < $3
                        union all
                        select order_id, 'reservations' from reservations where order_id >= $2 and order_id < $3
                        union all
                        select order_id, 'charges' from charges where order_id >= $2 and order_id < $3
                        union all
                        select order_id, 'shipments' from shipments where order_id >= $2 and order_id < $3) children
                 where not exists (select from orders o where o.id = order_id)
                union all
                select order_id::text, jsonb_build_object('order_id', order_id, 'no_product', product_id)
                  from order_items i
                 where order_id >= $2 and order_id < $3 and not exists (select from products p where p.id = i.product_id)
                union all
                select reservation_id::text, jsonb_build_object('no_reservation', reservation_id)
                  from reservation_lines l
                 where reservation_id >= $2 and reservation_id < $3
                   and not exists (select from reservations r where r.id = l.reservation_id)
                union all
                select id::text, jsonb_build_object('no_inventory_for_movement', id)
                  from stock_movements m
                 where id >= $2 and id < $3
                   and not exists (select from inventory i
                                    where (i.product_id, i.warehouse_id) = (m.product_id, m.warehouse_id))
            ) offenders (key, offender)
             order by 1 limit $1"),
    },
    Invariant {
        name: "total_is_the_sum_of_its_items",
        offenders: Of::Timelines("
            select o.id::text,
                   jsonb_build_object('order_id', o.id, 'total', o.total_minor, 'sum_of_items', i.total)
              from orders o
              left join (select order_id, sum(quantity::bigint * unit_price_minor) as total
                           from order_items where order_id >= $2 and order_id < $3
                          group by 1) i on i.order_id = o.id
             where o.id >= $2 and o.id < $3 and o.total_minor is distinct from i.total
             order by 1 limit $1"),
    },
    Invariant {
        name: "our_ledger_charged_each_sale_once",
        offenders: Of::Orders("
            select o.id::text,
                   jsonb_build_object('order_id', o.id, 'status', o.status, 'total', o.total_minor,
                                      'charged', coalesce(sum(c.amount_minor) filter (where c.state = 'charged'), 0),
                                      'charges', count(*) filter (where c.state = 'charged'),
                                      'unsettled', count(*) filter (where c.state = 'started'))
              from orders o left join charges c on c.order_id = o.id
             where o.id >= $2 and o.id < $3 and o.status in ({charged}, {uncharged})
             group by o.id
            having case
                   when o.status in ({uncharged}) then count(*) filter (where c.state in ('started', 'charged')) > 0
                   else count(*) filter (where c.state = 'charged') <> 1
                     or not bool_and(c.amount_minor = o.total_minor and c.currency = o.currency)
                           filter (where c.state = 'charged')
                   end
             order by 1 limit $1"),
    },
    // The ids of our charges are the provider's keys. A sale that was paid another way must not be in its books too.
    Invariant {
        name: "the_provider_charged_each_sale_once",
        offenders: Of::Orders("
            select * from (
                select o.id::text,
                       jsonb_build_object('order_id', o.id, 'status', o.status, 'total', o.total_minor,
                                          'in_the_books', coalesce(sum(b.amount_minor), 0), 'charges', count(b.key))
                  from orders o
                  left join charges c on c.order_id = o.id
                  left join simulated_charges b on b.key = c.id and b.state = 'charged'
                 where o.id >= $2 and o.id < $3 and o.status in ({charged}, {uncharged})
                 group by o.id
                having count(b.key) <> case when o.status in ({uncharged}) or bool_or(c.manual and c.state = 'charged')
                                             then 0 else 1 end
                    or not coalesce(bool_and(b.amount_minor = o.total_minor and b.currency = o.currency)
                                    filter (where b.key is not null), true)
                union all
                select b.key::text,
                       jsonb_build_object('unknown_charge', b.key, 'in_the_books', b.amount_minor)
                  from simulated_charges b
                 where b.key >= $2 and b.key < $3 and b.state = 'charged' and not exists (select from charges c where c.id = b.key)
            ) offenders (key, offender)
             order by 1 limit $1"),
    },
    Invariant {
        name: "cancelled_orders_hold_nothing",
        offenders: Of::Orders("
            select o.id::text,
                   jsonb_build_object('order_id', o.id, 'reservation_id', r.id, 'reservation', r.state,
                                      'shipments', (select count(*) from shipments s where s.order_id = o.id))
              from orders o left join reservations r on r.order_id = o.id
             where o.id >= $2 and o.id < $3 and o.status = 'cancelled'
               and (r.state not in ('released', 'expired') or exists (select from shipments s where s.order_id = o.id))
             order by 1 limit $1"),
    },
    // Each reserved line of an order that has left has one movement of the same quantity, and there is no other.
    Invariant {
        name: "what_was_shipped_left_once",
        offenders: Of::Timelines("
            select * from (
                select order_id::text,
                       jsonb_build_object('order_id', order_id, 'lines', jsonb_agg(jsonb_build_object(
                           'product_id', product_id, 'warehouse_id', warehouse_id,
                           'to_leave', coalesce(owed.quantity, 0), 'left', coalesce(gone.quantity, 0))))
                  from (select r.order_id, l.product_id, l.warehouse_id, l.quantity
                          from orders o
                          join reservations r on r.order_id = o.id
                          join reservation_lines l on l.reservation_id = r.id
                         where o.id >= $2 and o.id < $3 and o.status in ({left})) owed
                  full join (select order_id, product_id, warehouse_id, -sum(on_hand_delta) as quantity
                               from stock_movements where reason = 'shipped' and order_id >= $2 and order_id < $3
                              group by 1, 2, 3) gone using (order_id, product_id, warehouse_id)
                 where owed.quantity is distinct from gone.quantity
                 group by order_id
                union all
                select o.id::text,
                       jsonb_build_object('order_id', o.id, 'status', o.status, 'reservation', r.state)
                  from orders o left join reservations r on r.order_id = o.id
                 where o.id >= $2 and o.id < $3
                   and (o.status in ({left})) <> (coalesce(r.state, '') = 'shipped')
            ) offenders (key, offender)
             order by 1 limit $1"),
    },
    // For the job of its state. A dead or discarded job counts: then the order waits for staff (`next_action`).
    Invariant {
        name: "every_open_order_waits_for_somebody",
        offenders: Of::All("
            select o.id::text,
                   jsonb_build_object('order_id', o.id, 'status', o.status, 'since', o.updated_at)
              from orders o
             where o.status in ({open}) and o.stage in ({open_stages})
               and not exists (select from jobs j
                                where j.order_id = o.id and j.state <> 'done'
                                  and j.kind = case o.status {next_jobs} end)
             order by 1 limit $1"),
    },
    // The queue reclaims a lease that has just expired. One that expired a minute ago should have been reclaimed.
    Invariant {
        name: "nothing_runs_without_a_lease",
        offenders: Of::All("
            select id::text,
                   jsonb_build_object('job_id', id, 'kind', kind, 'worker', worker, 'lease_until', lease_until)
              from jobs
             where state = 'running'
               and (lease_until is null or lease_until < clock_timestamp() - interval '1 minute')
             order by 1 limit $1"),
    },
    Invariant {
        name: "no_key_of_an_inactive_account_is_usable",
        offenders: Of::All("
            select k.id::text, jsonb_build_object('api_key_id', k.id, 'service_account_id', u.id, 'prefix', k.prefix)
              from api_keys k join users u on u.id = k.user_id
             where k.revoked_at is null and k.expires_at > clock_timestamp()
               and (not u.active or u.kind <> 'service')
             order by 1 limit $1"),
    },
    Invariant {
        name: "event_sequences_have_no_gaps",
        offenders: Of::Timelines("
            select o.id::text,
                   jsonb_build_object('order_id', o.id, 'counted', o.event_sequence, 'events', coalesce(e.events, 0),
                                      'last', e.last)
              from orders o
              left join (select order_id, count(*) as events, min(sequence) as first, max(sequence) as last
                           from order_events where order_id >= $2 and order_id < $3
                         group by 1) e on e.order_id = o.id
             where o.id >= $2 and o.id < $3
               and (e.events, e.first, e.last) is distinct from (o.event_sequence::bigint, 1, o.event_sequence)
             order by 1 limit $1"),
    },
    // The sequencer has seen the event, or should have: some worker has run for a minute since. A unique key holds that
    // an event is not there twice. Of products and stock the ids begin with the time too.
    Invariant {
        name: "every_event_is_in_the_feed_once",
        offenders: Of::Orders("
            with events as (
                select order_id as subject, sequence, xact, created_at from order_events
                 where order_id >= $2 and order_id < $3
                union all
                select subject, sequence, xact, created_at from entity_events where subject >= $2 and subject < $3)
            select subject || ' ' || sequence,
                   jsonb_build_object('subject', subject, 'sequence', sequence, 'at', created_at, 'wrong', wrong)
              from (select e.subject, e.sequence, e.created_at, 'not in the feed' as wrong
                      from events e, feed_head h
                     where e.xact is not null and (h.removed_until is null or e.created_at > h.removed_until)
                       and (pg_visible_in_snapshot(e.xact, h.seen)
                            or e.created_at < clock_timestamp() - interval '1 minute'
                               and exists (select from workers
                                            where gone_at is null and started_at < clock_timestamp() - interval '1 minute'
                                              and heartbeat_at > clock_timestamp() - interval '10 seconds'))
                       and not exists (select from feed f where f.subject = e.subject and f.sequence = e.sequence)
                    union all
                    select f.subject, f.sequence, f.created_at, 'no such event' from feed f
                     where f.subject >= $2 and f.subject < $3
                       and not exists (select from events e where e.subject = f.subject and e.sequence = f.sequence)
                   ) offenders
             order by 1 limit $1"),
    },
    Invariant {
        name: "feed_keeps_each_orders_order",
        offenders: Of::Orders("
            select subject || ' ' || sequence,
                   jsonb_build_object('subject', subject, 'sequence', sequence, 'position', position, 'after', before)
              from (select subject, sequence, position,
                           lag(sequence) over (partition by subject order by position) as before
                      from feed where subject >= $2 and subject < $3) rows
             where sequence <> before + 1
             order by 1 limit $1"),
    },
    // A shard of an endpoint has a job, or nothing of it is due. Its job is looked for by its key.
    Invariant {
        name: "every_pending_delivery_has_a_pump_or_waits",
        offenders: Of::All("
            select p.endpoint_id || ' ' || p.shard,
                   jsonb_build_object('webhook_id', p.endpoint_id, 'shard', p.shard, 'due_at', p.due_at)
              from webhook_pumps p join webhook_endpoints e on e.id = p.endpoint_id
             where e.state = 'enabled' and e.deleted_at is null
               and exists (select from webhook_deliveries d
                            where d.endpoint_id = p.endpoint_id and d.shard = p.shard and d.state = 'pending'
                              and d.next_attempt_at < now() - interval '1 minute')
               and coalesce(e.probe_at, p.due_at, now() - interval '1 day') < now() - interval '1 minute'
               and not exists (select from jobs j
                                where j.unique_key = 'deliver_webhooks ' || p.endpoint_id || ' ' || p.shard || ' ' || p.turn
                                  and j.state in ('ready', 'running'))
             order by 1 limit $1"),
    },
    // Of what was delivered in the last hour. What was sent again by hand is apart.
    Invariant {
        name: "nothing_is_delivered_out_of_order",
        offenders: Of::All("
            select d.endpoint_id || ' ' || d.subject || ' ' || d.sequence,
                   jsonb_build_object('webhook_id', d.endpoint_id, 'subject', d.subject, 'sequence', d.sequence,
                                      'delivered_at', d.delivered_at)
              from (select * from webhook_deliveries
                     where state <> 'pending' and ended_at > now() - interval '1 hour' order by ended_at desc limit 100000) d
             where d.state = 'delivered' and not d.replayed
               and exists (select from webhook_deliveries e
                            where e.endpoint_id = d.endpoint_id and e.subject = d.subject and e.sequence < d.sequence
                              and not e.replayed and (e.state = 'pending' or e.delivered_at > d.delivered_at))
             order by 1 limit $1"),
    },
];
