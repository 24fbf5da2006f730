//! What time itself asks for, by the minute and by the hour: own bundles, contacts' bundles, erasing what is
//! over, sealing again. SPEC: B6, B7, B9, B10, B11 (cursor).

use rand_core::CryptoRng;
use starling_e2ee::prekey::{USABLE_HOURS, bundle_tag, weeks_to_read};
use starling_e2ee::seal::{Ephemeral, HeadPrefix};
use starling_relay::pool::EnvelopePool;
use starling_wire::envelope::{Class, Head, Tag};

use crate::invitation::Owner;
use crate::messenger::Messenger;
use crate::post::{Post, PostId, Unstamped};
use crate::stored::Dirty;
use crate::timers::Timer;
use crate::turn::ContactNumber;
use crate::view::Event;

/// Time between two looks at the wall clock; also the longest time that the cursor in the vault lags behind.
const UPKEEP_MS: u64 = 60_000;
/// Contacts whose bundles are looked for under one tag. An address belongs to one of them; a second is an error or
/// a lie in a card.
const CLAIMS_PER_TAG_MAX: usize = 16;
/// Key pairs for envelopes made ahead.
const EPHEMERALS_AHEAD: usize = 16;

impl<P: EnvelopePool> Messenger<P> {
    /// Takes up whatever the state asks for: at the first start, and after each.
    pub(crate) fn begin(&mut self, rng: &mut impl CryptoRng) {
        for slot in self.sessions.slots() {
            let Some(owner) = self.sessions.get(slot).map(|entry| entry.owner) else { continue };
            let blocked = match owner {
                Owner::Contact(number) => self.contacts.get(number).is_none_or(|contact| contact.blocked),
                Owner::Request(number) => self.invitations.requests.get(&number).is_none_or(|r| self.is_crowded(r)),
            };
            if !blocked {
                self.watch_session(slot, rng);
            }
        }
        for contact in self.receipts.contacts_due().into_iter().chain(self.reads.contacts_due()) {
            self.schedule_receipts(contact, rng);
        }
        let posts: Vec<PostId> = self.outbox.numbers().into_iter().map(PostId::Item).chain([PostId::Bundle]).collect();
        for id in posts {
            self.resume(id, rng);
        }
        self.wake_inbox(rng);
        self.wake_for_expiry();
        self.pump_due = true;
        self.begin_device(rng);
        self.on_upkeep(rng);
    }

    /// Own envelope `id` was under way when the process ended.
    fn resume(&mut self, id: PostId, rng: &mut impl CryptoRng) {
        let Some(post) = self.post(id) else { return };
        if post.unstamped().is_some() {
            self.unstamped.insert(id);
        } else {
            self.push(id, rng);
        }
    }

    /// The minute's work; the hour's when an hour began.
    pub(crate) fn on_upkeep(&mut self, rng: &mut impl CryptoRng) {
        self.set_timer_in(Timer::Upkeep, UPKEEP_MS);
        self.mark_cursor_if_moved();
        self.judge_clock();
        self.judge_disk();
        self.note_time();
        while self.ephemerals.len() < EPHEMERALS_AHEAD {
            self.ephemerals.push(Ephemeral::generate(rng));
        }
        self.drop_closed_stamps();
        self.check_returns(self.upkeep_epoch != Some(self.epoch()), rng);
        self.outbox_upkeep();
        self.wake_for_expiry();
        self.check_bundle_post();
        let epoch = self.epoch();
        if self.upkeep_epoch != Some(epoch) {
            let jumped = self.upkeep_epoch.is_some_and(|last| last.plus(1) != epoch);
            self.upkeep_epoch = Some(epoch);
            self.erasure_due = true;
            self.erase_if_sure();
            self.hourly(jumped, rng);
        } else {
            self.erase_if_sure();
        }
    }

    /// Whether the wall clock is to be believed where something would be gone for ever.
    pub(crate) fn is_time_sure(&mut self) -> bool {
        let median = self.clocks.median(self.parameters.scope, self.now);
        self.known_time.judge(median, self.now)
    }

    /// Notes the time in the vault once in a while, if it is right.
    fn note_time(&mut self) {
        if self.is_time_sure() && self.known_time.wants_note() {
            self.mark(Dirty::Time);
        }
    }

    /// Erases what is over, once an hour, by a clock that is right.
    fn erase_if_sure(&mut self) {
        if !self.erasure_due || !self.is_time_sure() {
            return;
        }
        self.erasure_due = false;
        self.expire_pool(self.epoch());
        self.erase_prekeys();
        self.expire_invites();
        self.expire_sessions();
        self.expire_seen();
        self.expire_early();
        self.expire_parts();
        self.judge_expiries();
    }

    /// `jumped`: the hour before was not the last one seen.
    fn hourly(&mut self, jumped: bool, rng: &mut impl CryptoRng) {
        let epoch = self.epoch();
        if self.prekeys.needs_renewal(epoch.0) && !self.settling {
            self.renew_prekeys(rng);
        }
        self.inbox.forget_tries();
        let contacts: Vec<ContactNumber> = self.contacts.iter().map(|contact| contact.number).collect();
        let week = weeks_to_read(epoch.0).last();
        if self.bundle_week != week {
            self.bundle_week = week;
            self.bundle_tags.clear();
            self.watch_own_bundles(rng);
            contacts.iter().for_each(|&number| self.watch_bundles(number, rng));
        } else {
            // A bundle's age is judged by the clock of the moment when it is read. One refused by a wrong clock,
            // or by a right one because its maker's is ahead, may be good by now.
            let again = |number: &&ContactNumber| jumped || !self.is_sendable(**number);
            let again: Vec<ContactNumber> = contacts.iter().filter(again).copied().collect();
            again.into_iter().for_each(|number| self.watch_bundles(number, rng));
        }
        self.retry_reads();
        for number in contacts {
            self.recover(number, rng);
            self.note_post_quantum(number);
        }
    }

    /// Signs a new bundle, to be published.
    pub(crate) fn renew_prekeys(&mut self, rng: &mut impl CryptoRng) {
        self.prekeys.renew(&self.identity, self.profile.shard, self.epoch().0, rng);
        self.mark(Dirty::Prekeys);
        self.drop_bundle_post();
    }

    fn erase_prekeys(&mut self) {
        let erased = self.prekeys.erase(self.epoch().0);
        if erased.is_empty() {
            return;
        }
        self.mark(Dirty::Prekeys);
        let over: Vec<[u8; 32]> = self
            .first_contacts
            .values()
            .filter(|record| !self.prekeys.has_bundle(record.bundle_seq))
            .map(|record| record.digest)
            .collect();
        for digest in over {
            self.first_contacts.remove(&digest);
            self.mark(Dirty::FirstContact(digest));
        }
    }

    fn expire_invites(&mut self) {
        let (expired, erased) = self.invitations.expire(self.now.unix_ms);
        for number in expired {
            self.mark(Dirty::Invite(number));
            if let Some(view) = self.invitations.own.get(&number).map(crate::invitation::OwnInvite::view) {
                self.event(Event::InviteExpired(view));
            }
        }
        erased.into_iter().for_each(|number| self.mark(Dirty::Invite(number)));
    }

    /// Erases skipped keys whose time is over, and sessions that are received on only and have been silent.
    fn expire_sessions(&mut self) {
        let unix_ms = self.now.unix_ms;
        for slot in self.sessions.slots() {
            let Some(entry) = self.sessions.get_mut(slot) else { continue };
            let (id, owner) = (entry.session.id(), entry.owner);
            let over = entry.session.receive_only_is_over(unix_ms);
            let gone = entry.session.expire_skipped(unix_ms / 1_000);
            self.sessions.update_tags(slot, &gone, &[]);
            gone.into_iter().for_each(|tag| self.delete_skipped(id, tag));
            let best = match owner {
                Owner::Contact(contact) => self.best_session(contact) == Some(slot),
                Owner::Request(_) => true,
            };
            if over && !best {
                self.forget_session(slot);
            }
        }
    }

    /// Sealed envelopes that still have no stamp when their hour is over cannot leave any more.
    fn drop_closed_stamps(&mut self) {
        let epoch = self.epoch();
        let closed = |id: &PostId| self.post(*id).is_some_and(|post| !post.is_open(epoch));
        let ids: Vec<PostId> = self.unstamped.iter().copied().filter(closed).collect();
        for id in ids {
            self.seal_again(id);
        }
    }

    /// Watches the tags under which a contact's bundles are found, and has them looked up.
    pub(crate) fn watch_bundles(&mut self, number: ContactNumber, rng: &mut impl CryptoRng) {
        let Some(contact) = self.contacts.get(number).filter(|contact| !contact.blocked) else { return };
        let Some(address) = contact.address else { return };
        for week in weeks_to_read(self.epoch().0) {
            let tag = Tag(bundle_tag(&address, week).0);
            let claims = self.bundle_tags.entry(tag).or_default();
            if claims.len() < CLAIMS_PER_TAG_MAX {
                claims.insert(number);
            }
            self.inbox.look_up([tag]);
        }
        self.wake_inbox(rng);
    }

    /// Watches no bundle tags of a contact.
    pub(crate) fn unwatch_bundles(&mut self, number: ContactNumber) {
        self.bundle_tags.retain(|_, claims| {
            claims.remove(&number);
            !claims.is_empty()
        });
    }

    /// Gives the present bundle envelope up, so that a new one is sealed.
    pub(crate) fn drop_bundle_post(&mut self) {
        self.forget_way(PostId::Bundle);
        self.outbox.forget_id(self.bundle_post.take().as_ref());
        self.mark(Dirty::BundlePost);
        self.pump_due = true;
    }

    /// The bundle is posted again when its envelope never came back in its hour, or leaves its lifetime.
    fn check_bundle_post(&mut self) {
        let epoch = self.epoch();
        let (unix_ms, lifetime_ms) = (self.now.unix_ms, self.lifetime_ms());
        if let Some(post) = &self.bundle_post {
            let lost = !post.came_back && !post.is_open(epoch);
            let over = post.sealed_unix_ms.saturating_add(lifetime_ms) <= unix_ms;
            if lost || over {
                self.drop_bundle_post();
            }
        } else {
            self.pump_due = true;
        }
        let reachable = self.bundle_post.as_ref().is_some_and(|post| post.came_back);
        let age_hours = self.prekeys.newest().map_or(0, |(_, created_hour)| epoch.0.saturating_sub(created_hour));
        let expired = !reachable && age_hours >= USABLE_HOURS;
        if expired != self.bundle_warned {
            self.bundle_warned = expired;
            self.warn("bundle_expired", expired);
        }
    }

    /// Seals the own bundle when none is on its way.
    pub(crate) fn seal_bundle_if_due(&mut self, rng: &mut impl CryptoRng) {
        if self.bundle_post.is_some() {
            return;
        }
        let (topic, epoch) = (self.topic(), self.epoch());
        let prefix = HeadPrefix(Head::prefix(Class::Small, topic, epoch));
        let ephemeral = self.take_ephemeral(rng);
        let Some(sealed) = self.prekeys.seal_bundle(&prefix, &self.profile.address, &ephemeral) else { return };
        let unstamped =
            Unstamped { topic, epoch, tag: Tag(sealed.tag.0), ephemeral: sealed.ephemeral, body: sealed.body };
        self.bundle_post = Some(Post::new(unstamped, self.now.unix_ms));
        self.mark(Dirty::BundlePost);
        self.start_stamp(PostId::Bundle);
    }
}
