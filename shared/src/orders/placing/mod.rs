//! Placing orders: many at once, each accepted or refused on its own, in the order of their arrival.
//!
//! 1. A request becomes a `PlaceOrder` (`request`) and enters a lane (`lanes`). A lane gathers what arrives while its
//!    last batch commits, so a busy product is locked once for each batch and not once for each order.
//! 2. A batch is tried (`retry`): once; again if it was short of stock and overdue reservations could be expired;
//!    again after a transient error; one order at a time if the data of one of them was bad.
//! 3. Each try is one transaction (`attempt`): keys and what customers hold unpaid, stock under lock, prices
//!    (`statements`), a decision for each order (`decide`, `unpaid`), and one statement that writes everything (`write`).
//!
//! The number of statements does not grow with the batch. The files import each other only downwards: lanes, permits,
//! retry, attempt, write, statements, decide, unpaid, request.

pub mod decide;
pub mod lanes;
pub mod permits;
pub mod request;
pub mod retry;

mod attempt;
mod statements;
mod unpaid;
mod write;
