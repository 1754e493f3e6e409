//! Postgres behind Patroni, etcd and HAProxy. Its primary is replaced in four ways while buyers buy. Every order that was
//! answered 201 is there afterwards, and APIs and workers go on by themselves.

use prove::cluster::{Cluster, migrate};
use servers::home::Home;
use servers::patroni::Patroni;

use crate::bins;
use crate::shop::{Shop, root};

struct PatroniTest {
    shop: Shop,
    patroni: Patroni,
}

/// How the primary is lost.
#[derive(Debug, Clone, Copy)]
enum Loss {
    /// An operator asks Patroni for another primary.
    SwitchedOver,
    PostgresKilled,
    PostgresAndAgentKilled,
    /// The machine stands still, and goes on when another server is the primary.
    Frozen,
}

impl PatroniTest {
    async fn start() -> Self {
        let home = Home::new(&std::env::temp_dir()).await.unwrap();
        let patroni = Patroni::start(&home, root()).await.unwrap();
        migrate(&home, bins(), patroni.access()).await.unwrap();
        let cluster = Cluster::open_at(&home, patroni.access(), bins(), 2, 2, &[]).await.unwrap();
        Self { shop: Shop::open(cluster).await, patroni }
    }

    /// Loses the primary, and waits until the shop sells again and all servers are back.
    async fn lose_primary(&mut self, loss: Loss) {
        let before = self.patroni.until_complete().await.unwrap();
        let placed = self.shop.placed();
        self.shop.more_orders(10).await;
        let node = &self.patroni.nodes[before];
        match loss {
            Loss::SwitchedOver => self.patroni.switch_over(before).await.unwrap(),
            Loss::PostgresKilled => node.signal_postgres("KILL").await.unwrap(),
            Loss::PostgresAndAgentKilled => {
                node.signal_agent("KILL").await.unwrap();
                node.signal_postgres("KILL").await.unwrap();
            }
            Loss::Frozen => {
                node.signal_agent("STOP").await.unwrap();
                node.signal_all_of_postgres("STOP").await.unwrap();
            }
        }
        self.patroni.until_another_leads(before).await.unwrap();
        self.shop.more_orders(10).await;
        match loss {
            Loss::PostgresAndAgentKilled => self.patroni.start_agent(before).await.unwrap(),
            Loss::Frozen => {
                let node = &self.patroni.nodes[before];
                node.signal_all_of_postgres("CONT").await.unwrap();
                node.signal_agent("CONT").await.unwrap();
            }
            Loss::SwitchedOver | Loss::PostgresKilled => {}
        }
        self.shop.more_orders(10).await;
        let gap = self.shop.longest_gap(placed).num_milliseconds();
        println!("{loss:?}: {} orders, {gap} ms between two answers at the longest", self.shop.placed() - placed);
    }
}

#[tokio::test]
async fn a_primary_that_is_lost_in_any_way_is_replaced_and_no_order_is_lost() {
    let mut system = PatroniTest::start().await;
    let buyers = system.shop.buyers().await;
    for loss in [Loss::SwitchedOver, Loss::PostgresKilled, Loss::PostgresAndAgentKilled, Loss::Frozen] {
        system.lose_primary(loss).await;
    }
    system.shop.open.send_replace(false);
    buyers.join_all().await;
    let home = system.shop.cluster.home.clone();
    system.shop.assert_all_were_answered();
    system.shop.check().await;
    system.shop.cluster.close().await.unwrap();
    system.patroni.stop().await.unwrap();
    home.clear(false).await.unwrap();
}
