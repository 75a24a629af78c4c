// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import "../src/IProtocol.sol";
import {InputParts} from "../src/libraries/InputParts.sol";
import {ScheduleVerifier} from "../src/ScheduleVerifier.sol";
import {NeedTree} from "../src/libraries/NeedTree.sol";
import {ScheduleVerifierTest} from "./ScheduleVerifierTest.sol";

/// @notice The tree by which drivers show their part of a plan, on certificates that the planner made.
contract NeedTreeTest is ScheduleVerifierTest {
    uint256 private constant VECTORS = 24;
    int256 private constant UNIT = 100;

    ScheduleVerifier private verifier = new ScheduleVerifier(IDispatch(address(0)));

    function rootOf(Certificate calldata certificate) external pure returns (bytes32) {
        return NeedTree.rootOf(certificate);
    }

    function pricesOf(Certificate calldata certificate) external pure returns (int64[][] memory) {
        return NeedTree.nodePrices(certificate, InputParts.split(certificate.inputs));
    }

    function partsOf(bytes calldata inputs) external pure returns (InputParts.Parts memory) {
        return InputParts.split(inputs);
    }

    function _path(bytes32[] memory level, uint256 index) private pure returns (bytes32[] memory path) {
        path = new bytes32[](16);
        uint256 length;
        for (; level.length > 1; index /= 2) {
            uint256 beside = index ^ 1;
            if (beside < level.length) path[length++] = level[beside];
            bytes32[] memory above = new bytes32[]((level.length + 1) / 2);
            for (uint256 i; i < above.length; ++i) {
                bool alone = 2 * i + 1 == level.length;
                above[i] = alone ? level[2 * i] : _pair(level[2 * i], level[2 * i + 1]);
            }
            level = above;
        }
        assembly ("memory-safe") {
            mstore(path, length)
        }
    }

    function _pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
    }

    function testFuzz_everyLeafIsProvenByItsPath(uint256 seed, uint256 count, uint256 index) public pure {
        count = bound(count, 1, 70);
        index = bound(index, 0, count - 1);
        bytes32[] memory leaves = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            leaves[i] = keccak256(abi.encode(seed, i));
        }
        bytes32 leaf = leaves[index];
        bytes32[] memory path = _path(leaves, index);
        assertTrue(MerkleProof.verify(path, NeedTree.root(leaves), leaf));
    }

    function test_withoutNeedsTheRootIsZero() public pure {
        assertEq(NeedTree.root(new bytes32[](0)), 0);
    }

    function test_aLeafIsNoInnerNode() public pure {
        bytes memory hashes = abi.encode(uint256(7), bytes32(uint256(1)), bytes32(uint256(2)), bytes32(uint256(3)));
        bytes32 leaf = NeedTree.leaf(7, bytes32(uint256(1)), bytes32(uint256(2)), bytes32(uint256(3)));
        assertEq(leaf, keccak256(bytes.concat(keccak256(hashes))));
    }

    /// Every byte of a certificate's needs, of their powers and of the prices that they see changes the root.
    function test_theRootBindsNeedsPowersAndPrices() public view {
        string memory json = _read("vectors.json");
        for (uint256 i; i < VECTORS; ++i) {
            Certificate memory c = _certificate(json, i);
            InputParts.Parts memory parts = this.partsOf(c.inputs);
            if (parts.needs == 0) continue;
            bytes32 root = this.rootOf(c);
            uint256 last = parts.needsAt + 16 * parts.needs - 1;
            c.inputs[last] ^= 0x01;
            assertNotEq(this.rootOf(c), root, _name(json, i));
            c.inputs[last] ^= 0x01;
            c.schedule[0] ^= 0x01;
            assertNotEq(this.rootOf(c), root, _name(json, i));
            c.schedule[0] ^= 0x01;
            uint256 from = uint8(c.inputs[parts.needsAt + 3]);
            c.multipliers[from % 2 * 32 * ((parts.intervals + 15) / 16) + from / 2 * 4 + 3] ^= 0x01;
            assertNotEq(this.rootOf(c), root, _name(json, i));
        }
    }

    /// A step less of base load moves the verifier's bound by the price that the step is drawn at.
    function test_nodePricesAreTheVerifiers() public view {
        string memory json = _read("vectors.json");
        (uint256 compared, uint256 withRows) = (0, 0);
        for (uint256 i; i < VECTORS; ++i) {
            Certificate memory c = _certificate(json, i);
            InputParts.Parts memory parts = this.partsOf(c.inputs);
            _loosen(c.inputs, parts);
            uint256 count = _compare(c, parts);
            compared += count;
            if (parts.rows > 0) withRows += count;
        }
        assertGt(compared, 100);
        assertGt(withRows, 50);
    }

    /// @dev Limits that no base load reaches: those below one move with it. Prices are the multipliers', whatever the limits.
    function _loosen(bytes memory inputs, InputParts.Parts memory parts) private view {
        uint256 series = 64 * ((parts.intervals + 15) / 16);
        uint256 offset = parts.groupsAt;
        for (uint256 g; g < parts.groups; ++g) {
            (inputs[offset + 2], inputs[offset + 6]) = (0x07, 0x07);
            uint256 next = offset + 10 + (inputs[offset + 1] == 0 ? 0 : series);
            for (uint256 i = offset + 10; i < next; i += 4) {
                inputs[i] = 0x07;
            }
            offset = next;
        }
        for (uint256 r; r < parts.rows; ++r) {
            uint256 bounds = offset + 2 + 5 * uint256(uint8(inputs[offset]));
            uint256 next = bounds + 8 * (inputs[offset + 1] == 0 ? 1 : parts.intervals);
            for (uint256 i = bounds; i < next; i += 8) {
                inputs[i] = 0x00;
                inputs[i + 1] = 0x01;
            }
            offset = next;
        }
        assertEq(this.partsOf(inputs).loadsAt, offset);
    }

    function _compare(Certificate memory c, InputParts.Parts memory parts) private view returns (uint256 compared) {
        int64[][] memory prices = this.pricesOf(c);
        int256 before = _boundOf(c);
        for (uint256 load = parts.loadsAt; load < parts.needsAt; load += 3 + 2 * parts.intervals) {
            for (uint256 t; t < parts.intervals; ++t) {
                uint256 low = load + 3 + 2 * t + 1;
                if (c.inputs[low] == 0) continue;
                c.inputs[low] = bytes1(uint8(c.inputs[low]) - 1);
                assertEq(before - _boundOf(c), UNIT * prices[uint8(c.inputs[load + 2])][t]);
                c.inputs[low] = bytes1(uint8(c.inputs[low]) + 1);
                ++compared;
            }
        }
    }

    function _boundOf(Certificate memory c) private view returns (int256 bound_) {
        (, bound_,,) = verifier.verify(c.inputs, c.schedule, c.multipliers);
    }

    /// The root of a day of fifty cars, leaf by leaf, from bytes that are read here anew.
    function test_theRootIsThatOfItsLeaves() public view {
        Certificate memory c = _certificate(_read("days.json"), 0);
        InputParts.Parts memory parts = this.partsOf(c.inputs);
        int64[][] memory prices = this.pricesOf(c);
        bytes32[] memory leaves = new bytes32[](parts.needs);
        uint256 cell;
        for (uint256 i; i < parts.needs; ++i) {
            bytes memory need;
            for (uint256 b; b < 16; ++b) {
                need = bytes.concat(need, c.inputs[parts.needsAt + 16 * i + b]);
            }
            (bytes memory row, bytes memory seen) = ("", "");
            for (uint256 t = uint8(need[3]); t < uint8(need[5]); ++t) {
                row = bytes.concat(row, c.schedule[cell], c.schedule[cell + 1]);
                seen = bytes.concat(
                    seen, bytes8(uint64(prices[uint8(need[2])][t])), bytes4(uint32(_least(c.inputs, parts, t)))
                );
                cell += 2;
            }
            uint256 lane = uint16(bytes2(need));
            leaves[i] = NeedTree.leaf(lane, keccak256(need), keccak256(row), keccak256(seen));
        }
        assertEq(parts.needs, 50);
        assertEq(this.rootOf(c), NeedTree.root(leaves));
    }

    /// @dev The lower of import and feed-in price, by where they are: behind the header, even intervals first.
    function _least(bytes memory inputs, InputParts.Parts memory parts, uint256 t) private pure returns (int32) {
        uint256 half = 32 * ((parts.intervals + 15) / 16);
        uint256 within = t % 2 * half + t / 2 * 4;
        int32 imported = _priceAt(inputs, 29 + within);
        int32 fed = _priceAt(inputs, 29 + 2 * half + (inputs[28] == 0x01 ? 0 : within));
        return imported < fed ? imported : fed;
    }

    function _priceAt(bytes memory data, uint256 offset) private pure returns (int32) {
        uint256 number;
        for (uint256 i; i < 4; ++i) {
            number = number << 8 | uint8(data[offset + i]);
        }
        return int32(int256(number) - (1 << 27));
    }

    /// Of a leaf anybody can tell the least that its prices count for.
    function test_theRootBindsGridPrices() public view {
        Certificate memory c = _certificate(_read("days.json"), 0);
        bytes32 root = this.rootOf(c);
        c.inputs[29 + 3] ^= 0x01;
        c.inputs[29 + 64 * 6 + 3] ^= 0x01;
        assertNotEq(this.rootOf(c), root);
    }

    function test_revert_aWindowBeyondTheHorizon() public {
        Certificate memory c = _certificate(_read("days.json"), 0);
        InputParts.Parts memory parts = this.partsOf(c.inputs);
        c.inputs[parts.needsAt + 5] = bytes1(uint8(parts.intervals + 1));
        vm.expectRevert(abi.encodeWithSelector(IScheduleVerifier.NeedOutOfRange.selector, 0));
        this.rootOf(c);
    }
}
