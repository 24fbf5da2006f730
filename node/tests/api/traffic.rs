//! What goes over the network, counted for the day.

use std::time::Instant;

use starling_api::Client;
use starling_api::node::Traffic;

use crate::harness::{DEADLINE, Home, network};
use crate::http::Api;

/// None in the first moment of a run.
fn today(home: &Home) -> Option<Traffic> {
    Client::open(&home.data()).unwrap().status().unwrap().traffic
}

/// Asks until the day's traffic fits.
#[track_caller]
fn until(home: &Home, fits: impl Fn(&Traffic) -> bool) -> Traffic {
    let end = Instant::now() + DEADLINE;
    loop {
        let traffic = today(home);
        if let Some(fitting) = traffic.clone().filter(&fits) {
            return fitting;
        }
        assert!(Instant::now() < end, "{traffic:?}");
    }
}

#[test]
fn the_day_is_counted_and_survives_a_restart() {
    let (ana, bob, name) = (Home::new(), Home::new(), network());
    let ana_node = ana.start(&name);
    let bob_node = bob.start(&name);
    bob.run(&["peers", "add", ana_node.ready["addresses"][0].as_str().unwrap()]).ok();
    let counted = until(&ana, |today| today.sent_bytes > 0 && today.received_bytes > 0);
    assert_eq!((counted.budget_day_bytes, counted.budget_hour_bytes), (288_000_000, 36_000_000));
    assert_eq!(counted.day.len(), "2026-11-23".len(), "{}", counted.day);

    bob_node.stop().ok();
    ana_node.stop().ok();
    let _ana = ana.start(&name);
    // Nobody is there any more, so nothing can be added but by the last moments of the run before.
    let again = until(&ana, |_| true);
    let midnight = again.day != counted.day;
    assert!(midnight || again.sent_bytes >= counted.sent_bytes, "{counted:?} {again:?}");
    assert!(midnight || again.received_bytes >= counted.received_bytes, "{counted:?} {again:?}");

    let metrics = String::from_utf8(Api::of(&ana).ask("GET /metrics", "").body).unwrap();
    for figure in ["today_sent_bytes", "today_received_bytes", "budget_bytes 288000000"] {
        assert!(metrics.contains(&format!("\nstarling_traffic_{figure}")), "{metrics}");
    }
}
