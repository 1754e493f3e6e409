//! Chooses the warehouse that each line comes from: the first active one by priority that has every line; else for
//! each line the first that has it whole; else several. Pure arithmetic; writes no table.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Shortage;
use crate::values::{ProductId, WarehouseId};

/// A quantity of a product, from any warehouse or from one that is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceLine {
    pub product_id: ProductId,
    pub quantity: i32,
    pub warehouse_id: Option<WarehouseId>,
}

/// What one warehouse can still give of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shelf {
    pub warehouse_id: WarehouseId,
    /// The warehouse with the smaller number comes first.
    pub priority: i32,
    pub available: i32,
}

/// The stock that lines are taken from. What one line takes, the next line no longer finds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shelves(BTreeMap<ProductId, Vec<Shelf>>);

/// A line, or a part of it, and the warehouse that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Allocation {
    /// The position of the line in the request.
    pub line: usize,
    pub product_id: ProductId,
    pub warehouse_id: WarehouseId,
    pub quantity: i32,
}

/// Why nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken<E> {
    Short(Vec<Shortage>),
    Refused(E),
}

/// Where all lines of a request come from, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sourced {
    pub how: How,
    pub considered: Vec<Considered>,
    #[serde(rename = "from")]
    pub allocations: Vec<Allocation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// One warehouse has every line (or the request named the warehouses).
    Together,
    /// Each line comes whole, from more than one warehouse.
    ByLine,
    /// At least one line comes from more than one warehouse.
    Split,
}

/// A warehouse that was considered for all lines, and the lines that it does not have whole: none if it was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Considered {
    pub warehouse_id: WarehouseId,
    pub lacks: Vec<usize>,
}

impl Shelves {
    pub fn new(shelves: impl IntoIterator<Item = (ProductId, Shelf)>) -> Self {
        let mut products = BTreeMap::<ProductId, Vec<Shelf>>::new();
        for (product_id, shelf) in shelves {
            products.entry(product_id).or_default().push(shelf);
        }
        for shelves in products.values_mut() {
            shelves.sort_by_key(|shelf| (shelf.priority, shelf.warehouse_id));
        }
        Self(products)
    }

    /// What is available of a product in all its warehouses.
    pub fn available(&self, product_id: ProductId) -> i64 {
        self.of(product_id).iter().map(|shelf| i64::from(shelf.available)).sum()
    }

    /// Takes every line; or takes nothing and returns the lines that are short.
    pub fn take(&mut self, lines: &[SourceLine]) -> Result<Sourced, Vec<Shortage>> {
        self.take_if(lines, || Ok::<_, std::convert::Infallible>(())).map_err(|not_taken| match not_taken {
            NotTaken::Short(shortages) => shortages,
            NotTaken::Refused(never) => match never {},
        })
    }

    /// As `take`, if nothing is short and `allowed` does not refuse it.
    pub fn take_if<E>(
        &mut self,
        lines: &[SourceLine],
        allowed: impl FnOnce() -> Result<(), E>,
    ) -> Result<Sourced, NotTaken<E>> {
        let mut left = self.only(lines);
        let sourced = left.source(lines).map_err(NotTaken::Short)?;
        allowed().map_err(NotTaken::Refused)?;
        self.0.extend(left.0);
        Ok(sourced)
    }

    /// The shelves that these lines could come from.
    fn only(&self, lines: &[SourceLine]) -> Self {
        Self(lines.iter().map(|line| (line.product_id, self.of(line.product_id).to_vec())).collect())
    }

    fn source(&mut self, lines: &[SourceLine]) -> Result<Sourced, Vec<Shortage>> {
        let mut allocations = Vec::with_capacity(lines.len());
        let mut short = Vec::new();
        let (named, free): (Vec<_>, Vec<_>) =
            lines.iter().enumerate().partition(|(_, line)| line.warehouse_id.is_some());
        // A line that names its warehouse has no alternative, so it is served first.
        for (index, line) in named {
            match self.whole(index, line) {
                Some(allocation) => allocations.push(self.give(allocation)),
                None => short.push(self.shortage(index, line)),
            }
        }
        let considered = self.consider(&free);
        let mut how = How::Together;
        if let Some(one) = considered.last().filter(|considered| considered.lacks.is_empty()) {
            let everything = free.iter().map(|(index, line)| line.from(*index, one.warehouse_id, line.quantity));
            allocations.extend(everything.map(|allocation| self.give(allocation)));
        } else {
            for (index, line) in free {
                if let Some(allocation) = self.whole(index, line) {
                    how = how.max(How::ByLine);
                    allocations.push(self.give(allocation));
                } else if let Some(parts) = self.parts(index, line) {
                    how = How::Split;
                    allocations.extend(parts.into_iter().map(|part| self.give(part)));
                } else {
                    short.push(self.shortage(index, line));
                }
            }
        }
        if short.is_empty() {
            return Ok(Sourced { how, considered, allocations });
        }
        short.sort_by_key(|short| short.line);
        Err(short)
    }

    /// Goes through the warehouses by priority until one has every line. It is enough to look at those that have the
    /// first line's product.
    fn consider(&self, lines: &[(usize, &SourceLine)]) -> Vec<Considered> {
        let Some((_, first)) = lines.first() else { return Vec::new() };
        let mut considered = Vec::new();
        for Shelf { warehouse_id, .. } in self.of(first.product_id) {
            let lacks = self.lacking(*warehouse_id, lines);
            let has_all = lacks.is_empty();
            considered.push(Considered { warehouse_id: *warehouse_id, lacks });
            if has_all {
                break;
            }
        }
        considered
    }

    fn lacking(&self, warehouse_id: WarehouseId, lines: &[(usize, &SourceLine)]) -> Vec<usize> {
        let mut wanted = BTreeMap::<ProductId, i64>::new();
        let lacks = |(index, line): &(usize, &SourceLine)| {
            let wanted = wanted.entry(line.product_id).or_default();
            *wanted += i64::from(line.quantity);
            (*wanted > self.at(line.product_id, warehouse_id)).then_some(*index)
        };
        lines.iter().filter_map(lacks).collect()
    }

    /// The line from the first warehouse that has it whole.
    fn whole(&self, index: usize, line: &SourceLine) -> Option<Allocation> {
        let may = |shelf: &&Shelf| line.may_come_from(shelf.warehouse_id) && shelf.available >= line.quantity;
        self.of(line.product_id).iter().find(may).map(|shelf| line.from(index, shelf.warehouse_id, line.quantity))
    }

    /// The line from several warehouses, each giving what it has.
    fn parts(&self, index: usize, line: &SourceLine) -> Option<Vec<Allocation>> {
        let mut missing = line.quantity;
        let mut parts = Vec::new();
        for shelf in self.of(line.product_id) {
            let quantity = shelf.available.min(missing);
            if quantity > 0 {
                parts.push(line.from(index, shelf.warehouse_id, quantity));
                missing -= quantity;
            }
        }
        (missing == 0).then_some(parts)
    }

    fn give(&mut self, allocation: Allocation) -> Allocation {
        let shelves = self.0.entry(allocation.product_id).or_default();
        let shelf = shelves.iter_mut().find(|shelf| shelf.warehouse_id == allocation.warehouse_id);
        shelf.expect("an allocation is made from a shelf").available -= allocation.quantity;
        allocation
    }

    /// `available` is what the other lines of the request have left.
    fn shortage(&self, index: usize, line: &SourceLine) -> Shortage {
        let available = match line.warehouse_id {
            Some(warehouse_id) => self.at(line.product_id, warehouse_id),
            None => self.available(line.product_id),
        };
        let requested = i64::from(line.quantity);
        Shortage { line: index, product_id: line.product_id.0, sku: None, requested, available }
    }

    fn of(&self, product_id: ProductId) -> &[Shelf] {
        self.0.get(&product_id).map_or(&[], Vec::as_slice)
    }

    fn at(&self, product_id: ProductId, warehouse_id: WarehouseId) -> i64 {
        let shelf = self.of(product_id).iter().find(|shelf| shelf.warehouse_id == warehouse_id);
        shelf.map_or(0, |shelf| i64::from(shelf.available))
    }
}

impl SourceLine {
    fn may_come_from(&self, warehouse_id: WarehouseId) -> bool {
        self.warehouse_id.is_none_or(|only| only == warehouse_id)
    }

    fn from(&self, line: usize, warehouse_id: WarehouseId, quantity: i32) -> Allocation {
        Allocation { line, product_id: self.product_id, warehouse_id, quantity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn product(n: u128) -> ProductId {
        ProductId(Uuid::from_u128(n))
    }

    fn warehouse(n: u128) -> WarehouseId {
        WarehouseId(Uuid::from_u128(n))
    }

    /// Of (product, warehouse, available); the warehouse's number is its priority.
    fn shelves(rows: &[(u128, u128, i32)]) -> Shelves {
        Shelves::new(rows.iter().map(|&(p, w, available)| {
            let priority = i32::try_from(w).unwrap();
            (product(p), Shelf { warehouse_id: warehouse(w), priority, available })
        }))
    }

    /// Of (product, quantity, warehouse or 0 for any).
    fn lines(rows: &[(u128, i32, u128)]) -> Vec<SourceLine> {
        let line = |&(p, quantity, w): &(u128, i32, u128)| SourceLine {
            product_id: product(p),
            quantity,
            warehouse_id: (w != 0).then(|| warehouse(w)),
        };
        rows.iter().map(line).collect()
    }

    #[test]
    fn lines_come_from_as_few_warehouses_as_their_stock_allows() {
        use How::{ByLine, Split, Together};
        type Case<'a> = (&'a str, &'a [(u128, u128, i32)], &'a [(u128, i32, u128)], How, &'a [(usize, u128, i32)]);
        let cases: &[Case] = &[
            ("the first that has it", &[(1, 1, 5), (1, 2, 5)], &[(1, 5, 0)], Together, &[(0, 1, 5)]),
            ("the second if the first has too little", &[(1, 1, 4), (1, 2, 5)], &[(1, 5, 0)], Together, &[(0, 2, 5)]),
            (
                "one with every line before two with one each",
                &[(1, 1, 5), (1, 2, 5), (2, 2, 5), (2, 3, 5)],
                &[(1, 2, 0), (2, 2, 0)],
                Together,
                &[(0, 2, 2), (1, 2, 2)],
            ),
            (
                "each line whole from the first that has it",
                &[(1, 1, 5), (2, 2, 1), (2, 3, 5)],
                &[(1, 2, 0), (2, 2, 0)],
                ByLine,
                &[(0, 1, 2), (1, 3, 2)],
            ),
            ("split by priority", &[(1, 1, 2), (1, 2, 0), (1, 3, 4)], &[(1, 5, 0)], Split, &[(0, 1, 2), (0, 3, 3)]),
            (
                "one split, another whole",
                &[(1, 1, 2), (1, 2, 2), (2, 2, 9)],
                &[(1, 4, 0), (2, 1, 0)],
                Split,
                &[(0, 1, 2), (0, 2, 2), (1, 2, 1)],
            ),
            ("the one that is named", &[(1, 1, 9), (1, 2, 9)], &[(1, 3, 2)], Together, &[(0, 2, 3)]),
            (
                "named lines first, whatever their place",
                &[(1, 1, 3), (1, 2, 3)],
                &[(1, 3, 0), (1, 3, 1)],
                Together,
                &[(1, 1, 3), (0, 2, 3)],
            ),
            (
                "twice the same product needs the sum",
                &[(1, 1, 3), (1, 2, 4)],
                &[(1, 2, 0), (1, 2, 0)],
                Together,
                &[(0, 2, 2), (1, 2, 2)],
            ),
        ];
        for (what, stock, asked, how, expected) in cases {
            let sourced = shelves(stock).take(&lines(asked)).unwrap_or_else(|short| panic!("{what}: {short:?}"));
            let got: Vec<_> = sourced.allocations.iter().map(|a| (a.line, a.warehouse_id, a.quantity)).collect();
            let expected: Vec<_> = expected.iter().map(|&(line, w, quantity)| (line, warehouse(w), quantity)).collect();
            assert_eq!((sourced.how, got), (*how, expected), "{what}");
        }
    }

    #[test]
    fn what_is_short_says_what_there_is() {
        type Case<'a> = (&'a str, &'a [(u128, u128, i32)], &'a [(u128, i32, u128)], &'a [(usize, i64, i64)]);
        let cases: &[Case] = &[
            ("no stock at all", &[], &[(1, 1, 0)], &[(0, 1, 0)]),
            ("the sum over warehouses", &[(1, 1, 2), (1, 2, 3)], &[(1, 6, 0)], &[(0, 6, 5)]),
            ("only the short line", &[(1, 1, 2), (2, 1, 2)], &[(1, 2, 0), (2, 3, 0)], &[(1, 3, 2)]),
            ("every short line", &[(1, 1, 1)], &[(1, 2, 0), (2, 3, 0)], &[(0, 2, 1), (1, 3, 0)]),
            ("the warehouse that is named", &[(1, 1, 9), (1, 2, 1)], &[(1, 2, 2)], &[(0, 2, 1)]),
            ("a warehouse that has none of it", &[(1, 1, 9)], &[(1, 2, 7)], &[(0, 2, 0)]),
            ("what the line before has left", &[(1, 1, 5)], &[(1, 3, 0), (1, 3, 0)], &[(1, 3, 2)]),
            ("in the order of the request", &[(1, 1, 1)], &[(2, 1, 0), (1, 2, 1)], &[(0, 1, 0), (1, 2, 1)]),
        ];
        for (what, stock, asked, expected) in cases {
            let mut stock = shelves(stock);
            let before = stock.clone();
            let short = stock.take(&lines(asked)).expect_err(what);
            let got: Vec<_> = short.iter().map(|short| (short.line, short.requested, short.available)).collect();
            assert_eq!(got, *expected, "{what}");
            assert_eq!(stock, before, "{what}: nothing is taken");
        }
    }

    #[test]
    fn warehouses_that_were_considered_say_what_they_lack() {
        let mut stock = shelves(&[(1, 1, 1), (2, 1, 5), (1, 2, 2), (2, 2, 1), (1, 3, 9), (2, 3, 9), (1, 4, 9)]);
        let sourced = stock.take(&lines(&[(1, 2, 0), (2, 2, 0)])).unwrap();
        let considered: Vec<_> = sourced.considered.iter().map(|c| (c.warehouse_id, c.lacks.clone())).collect();
        assert_eq!(considered, [(warehouse(1), vec![0]), (warehouse(2), vec![1]), (warehouse(3), vec![])]);
    }

    /// Whatever the stock and whatever is asked: nothing is taken that is not there, every line is given whole
    /// or the request is refused, and it is refused only if there is not enough.
    #[test]
    fn nothing_is_sold_that_is_not_there_and_nothing_is_refused_that_is() {
        let mut seed = 7_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for round in 0..20_000 {
            let rows: Vec<(u128, u128, i32)> = (1..=3)
                .flat_map(|p| (1..=4).map(move |w| (p, w)))
                .map(|(p, w)| (p, w, i32::try_from(random(5)).unwrap()))
                .collect();
            let asked: Vec<(u128, i32, u128)> = (0..=random(4))
                .map(|_| {
                    let named = if random(4) == 0 { random(4) + 1 } else { 0 };
                    (u128::from(random(3) + 1), i32::try_from(random(6) + 1).unwrap(), u128::from(named))
                })
                .collect();
            let (mut stock, asked) = (shelves(&rows), lines(&asked));
            let before = stock.clone();
            let everyone_fits = (1..=3).map(product).all(|p| {
                let of = |line: &&SourceLine| line.product_id == p;
                let all: i64 = asked.iter().filter(of).map(|line| i64::from(line.quantity)).sum();
                let named_fit = (1..=4).map(warehouse).all(|w| {
                    let named = asked.iter().filter(of).filter(|line| line.warehouse_id == Some(w));
                    named.map(|line| i64::from(line.quantity)).sum::<i64>() <= before.at(p, w)
                });
                named_fit && all <= before.available(p)
            });
            match stock.take(&asked) {
                Ok(sourced) => {
                    assert!(everyone_fits, "round {round}");
                    for (index, line) in asked.iter().enumerate() {
                        let given: Vec<_> = sourced.allocations.iter().filter(|a| a.line == index).collect();
                        assert_eq!(given.iter().map(|a| a.quantity).sum::<i32>(), line.quantity, "round {round}");
                        assert!(given.iter().all(|a| a.product_id == line.product_id && a.quantity > 0));
                        assert!(given.iter().all(|a| line.may_come_from(a.warehouse_id)), "round {round}");
                    }
                    for (p, w) in (1..=3).flat_map(|p| (1..=4).map(move |w| (product(p), warehouse(w)))) {
                        let taken = sourced.allocations.iter().filter(|a| a.product_id == p && a.warehouse_id == w);
                        let taken: i64 = taken.map(|a| i64::from(a.quantity)).sum();
                        assert_eq!(before.at(p, w) - taken, stock.at(p, w), "round {round}");
                        assert!(stock.at(p, w) >= 0, "round {round}");
                    }
                }
                Err(short) => {
                    assert!(!everyone_fits && !short.is_empty(), "round {round}");
                    assert!(short.iter().all(|short| short.requested > short.available), "round {round}");
                    assert_eq!(stock, before, "round {round}");
                }
            }
        }
    }
}
