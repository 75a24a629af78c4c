// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {
    Bill,
    Flexibility,
    IAssetRegistry,
    ICertificates,
    INTERVAL_S,
    ISettlement,
    RIGHT_SETTLE,
    SignedReading,
    Site,
    Tariff,
    Terms
} from "../IProtocol.sol";
import {FlexibilityToken} from "../tokens/FlexibilityToken.sol";
import {Billing} from "./Billing.sol";
import {Bills} from "./Bills.sol";
import {Ledger} from "./Ledger.sol";
import {Bucket} from "./LedgerWords.sol";
import {Readings} from "./Readings.sol";

/// @title What can still be claimed when a session is settled
/// @notice A lower bill, by a signed reading that contradicts it, and a reward for flexibility. Linked to Settlement and run on
/// its books: a part of it that has found room elsewhere. Each function gets the arguments of the call to Settlement as they
/// came.
library Claims {
    using Ledger for Ledger.Books;

    /// @dev The arguments of a call are laid out like a struct's members: seen as one, they stay where they are until used.
    struct Contradiction {
        Terms terms;
        Bill bill;
        Tariff tariff;
        SignedReading[] readings;
    }

    /// @dev As Contradiction. Minting comes without the last member, and does not look at it.
    struct Reward {
        Terms terms;
        Bill bill;
        Flexibility flexibility;
    }

    /// @notice Deploys the token, in the name of Settlement.
    function deployToken(IERC20 credit) external returns (FlexibilityToken) {
        return new FlexibilityToken(address(this), credit);
    }

    /// @notice See ISettlement.dispute.
    /// @param arguments abi.encode(Terms, Bill, Tariff, SignedReading[]).
    function dispute(Ledger.Books storage books, bytes calldata arguments, uint256 protocolFeeBps) external {
        Contradiction calldata evidence;
        assembly ("memory-safe") {
            evidence := arguments.offset
        }
        Bill memory bill = evidence.bill;
        Terms memory terms = books.settled(evidence.terms, bill);
        Readings.Stay memory stay = Readings.stayOf(terms, evidence.tariff, evidence.readings);
        Bills.correct(books, terms, bill, evidence.tariff, stay, protocolFeeBps);
    }

    /// @notice See ISettlement.claimFlexibility.
    /// @param arguments abi.encode(Terms, Bill, Flexibility).
    /// @param certificates Zero when nobody certifies schedules; flexibility then earns nothing.
    function claimFlexibility(
        Ledger.Books storage books,
        bytes calldata arguments,
        IAssetRegistry registry,
        ICertificates certificates
    ) external {
        Reward calldata evidence;
        assembly ("memory-safe") {
            evidence := arguments.offset
        }
        Bill memory bill = evidence.bill;
        Terms memory terms = books.settled(evidence.terms, bill);
        Flexibility memory moved = evidence.flexibility;
        bool authorised = registry.isAuthorised(terms.site, msg.sender, RIGHT_SETTLE);
        require(authorised, ISettlement.NotAuthorised(terms.site, msg.sender, RIGHT_SETTLE));
        uint256 until = bill.settledAt + Ledger.CLAIM_WINDOW;
        require(block.timestamp <= until, ISettlement.DisputeWindowOver(terms.session, block.timestamp, until));
        require(bill.reward == 0, ISettlement.WrongReward(terms.session, bill.reward));
        require(_isCertified(certificates, terms.site, bill), ISettlement.NotCertified(terms.session));

        bill.reward = Billing.rewardOf(terms, bill, moved);
        // Without a reward the bill is as it was.
        if (bill.reward > 0) books.extend(terms, bill);

        emit ISettlement.FlexibilityClaimed(terms.session, terms.driver, terms.site, moved, bill);
    }

    /// @notice See ISettlement.mintReward.
    /// @param arguments abi.encode(Terms, Bill).
    function mintReward(
        Ledger.Books storage books,
        bytes calldata arguments,
        IAssetRegistry registry,
        ICertificates certificates,
        FlexibilityToken token
    ) external {
        Reward calldata evidence;
        assembly ("memory-safe") {
            evidence := arguments.offset
        }
        Bill memory bill = evidence.bill;
        Terms memory terms = books.settled(evidence.terms, bill);
        uint256 until = bill.settledAt + Ledger.DISPUTE_WINDOW;
        uint128 reward = bill.reward;
        require(block.timestamp > until, ISettlement.DisputeWindowOpen(terms.session, block.timestamp, until));
        require(reward > 0, ISettlement.WrongReward(terms.session, reward));

        bill.reward = 0;
        books.rewrite(terms, bill);
        Site memory site = registry.site(terms.site);
        address operator = site.operator == address(0) ? site.owner : site.operator;
        // A plan can be refuted after its session was billed; without an error, because the act that mints must not fail.
        bool certified = _isCertified(certificates, terms.site, bill);
        uint256 minted = certified ? token.mint(terms.driver, operator, terms.site, reward) : 0;

        emit ISettlement.FlexibilityRewarded(terms.session, terms.driver, reward, minted);
    }

    /// @notice See ISettlement.claim.
    function claim(Ledger.Books storage books, bytes32 siteId, IAssetRegistry registry) external {
        books.empty(siteId);
        Ledger.Claimable memory due = books.claimables[siteId];
        require(due.amount > 0, ISettlement.NothingToClaim(siteId));
        Site memory site = registry.site(siteId);
        address operator = site.operator == address(0) ? site.owner : site.operator;

        delete books.claimables[siteId];
        books.credit(site.owner, due.amount - due.operatorFee - due.protocolFee);
        books.credit(operator, due.operatorFee);
        books.credit(registry.protocolFeeRecipient(), due.protocolFee);

        emit ISettlement.Claimed(siteId, site.owner, due.amount, operator, due.operatorFee, due.protocolFee);
    }

    /// @notice See ISettlement.claimableOf.
    function claimableOf(Ledger.Books storage books, bytes32 site)
        external
        view
        returns (uint256 claimable, uint256 pending)
    {
        claimable = books.claimables[site].amount;
        for (uint256 i; i < Ledger.BUCKETS; ++i) {
            Bucket bucket = books.buckets[site][i];
            if (Ledger.isPending(bucket.day())) pending += bucket.amount();
            else claimable += bucket.amount();
        }
    }

    /// @dev Without a clock nobody can say which intervals they were.
    function _isCertified(ICertificates certificates, bytes32 site, Bill memory bill) private view returns (bool) {
        if (address(certificates) == address(0) || bill.startTime == 0) return false;
        return certificates.isCertified(site, uint32(bill.startTime / INTERVAL_S), uint32(bill.stopTime / INTERVAL_S));
    }
}
