//! X25519 (RFC 7748) with the contributory check that the protocol demands of every agreement. SPEC: B0.
//!
//! The product is computed on the Edwards form of the curve, whose arithmetic is vectorised: 40 us against 52 for the
//! Montgomery ladder, and 31 for each further product with the same public key; products that are needed together
//! share the inversion at their end (4 us). The result is that of RFC 7748 to the bit. A public key on the twist,
//! which no honest key is, has no Edwards form and takes the ladder; which of the two ways is taken depends on public
//! bytes alone.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::montgomery::MontgomeryPoint;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use subtle::ConstantTimeEq;
use x25519_dalek::StaticSecret;
use zeroize::Zeroize;

use super::bytes::array;
use super::secret::Secret;

/// X(secret, public) of B0, or `None` if the result is all zero: the public key is of small order, and
/// whoever chose it would know the result (RFC 7748, section 6.1).
pub(crate) fn agree(secret: &Secret<32>, public: &[u8; 32]) -> Option<Secret<32>> {
    PublicKey::new(public).agree(secret)
}

/// X of each pair; `None` if one of them is not contributory.
pub(crate) fn agree_all<const N: usize>(pairs: [(&Secret<32>, &PublicKey); N]) -> Option<[Secret<32>; N]> {
    let products = pairs.map(|(secret, public)| Some(public.edwards?.mul_clamped(*secret.as_bytes())));
    if products.iter().any(Option::is_none) {
        return all(pairs.map(|(secret, public)| public.agree(secret)));
    }
    all(to_montgomery(products.map(Option::unwrap_or_default)).map(contributory))
}

/// A fresh key pair, and its agreement with `public`; `None` if that is not contributory. Draws 32 bytes.
pub(crate) fn generate_and_agree(
    rng: &mut impl rand_core::CryptoRng,
    public: &PublicKey,
) -> Option<(KeyPair, Secret<32>)> {
    let secret = Secret::generate(rng);
    let Some(point) = public.edwards else {
        let shared = public.agree(&secret)?;
        return Some((KeyPair::from_secret(secret), shared));
    };
    let own = EdwardsPoint::mul_base_clamped(*secret.as_bytes());
    let [own, shared] = to_montgomery([own, point.mul_clamped(*secret.as_bytes())]);
    Some((KeyPair { secret, public: *own.as_bytes() }, contributory(shared)?))
}

/// The u-coordinates of `points`, which are wiped.
fn to_montgomery<const N: usize>(mut points: [EdwardsPoint; N]) -> [Secret<32>; N] {
    let mut coordinates = EdwardsPoint::to_montgomery_batch(&points);
    points.zeroize();
    let mut next = coordinates.iter_mut();
    [(); N].map(|()| {
        let Some(coordinate) = next.next() else { return Secret::new([0; 32]) };
        let result = Secret::new(coordinate.to_bytes());
        coordinate.zeroize();
        result
    })
}

/// All or none.
fn all<const N: usize>(agreements: [Option<Secret<32>>; N]) -> Option<[Secret<32>; N]> {
    let is_complete = agreements.iter().all(Option::is_some);
    is_complete.then(|| agreements.map(|agreement| agreement.unwrap_or_else(|| Secret::new([0; 32]))))
}

/// `shared`, unless it is all zero. Compared in constant time.
fn contributory(shared: Secret<32>) -> Option<Secret<32>> {
    let is_zero: bool = shared.as_bytes().ct_eq(&[0; 32]).into();
    (!is_zero).then_some(shared)
}

/// The public key of `secret`.
pub(crate) fn public_of(secret: &Secret<32>) -> [u8; 32] {
    x25519_dalek::PublicKey::from(&StaticSecret::from(*secret.as_bytes())).to_bytes()
}

/// clr(E) of B0: bit 255, which carries no meaning in X25519, cleared.
pub(crate) const fn clear_top_bit(mut public: [u8; 32]) -> [u8; 32] {
    let [.., last] = &mut public;
    *last &= 0x7f;
    public
}

/// Somebody's public key, made ready for agreements. Encoded as its 32 bytes.
#[derive(Clone)]
pub(crate) struct PublicKey {
    bytes: [u8; 32],
    /// `None` for keys on the twist.
    edwards: Option<EdwardsPoint>,
}

impl PublicKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self { bytes: *bytes, edwards: MontgomeryPoint(*bytes).to_edwards(0) }
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether the fast way is open.
    #[cfg(test)]
    pub(crate) const fn is_on_curve(&self) -> bool {
        self.edwards.is_some()
    }

    /// X(secret, self); `None` if not contributory.
    pub(crate) fn agree(&self, secret: &Secret<32>) -> Option<Secret<32>> {
        let mut shared = match self.edwards {
            Some(point) => {
                let mut product = point.mul_clamped(*secret.as_bytes());
                let shared = product.to_montgomery();
                product.zeroize();
                shared
            }
            None => MontgomeryPoint(self.bytes).mul_clamped(*secret.as_bytes()),
        };
        let result = Secret::new(shared.to_bytes());
        shared.zeroize();
        contributory(result)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        array::serialize(&self.bytes, serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        array::deserialize(deserializer).map(|bytes| Self::new(&bytes))
    }
}

/// A key pair for agreement. Encoded as its secret half.
#[derive(Clone)]
pub(crate) struct KeyPair {
    secret: Secret<32>,
    public: [u8; 32],
}

impl KeyPair {
    pub(crate) fn generate(rng: &mut impl rand_core::CryptoRng) -> Self {
        Self::from_secret(Secret::generate(rng))
    }

    pub(crate) fn from_secret(secret: Secret<32>) -> Self {
        let public = public_of(&secret);
        Self { secret, public }
    }

    pub(crate) const fn secret(&self) -> &Secret<32> {
        &self.secret
    }

    pub(crate) const fn public(&self) -> &[u8; 32] {
        &self.public
    }
}

impl Serialize for KeyPair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.secret.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyPair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer).map(Self::from_secret)
    }
}
