// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.36;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";

/// @notice A token that keeps a fee, and calls wherever it was told to before it moves anything.
contract HostileToken is ERC20("Hostile", "HOST") {
    uint256 private _fee;
    address private _target;
    bytes private _call;
    bytes public answer;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setFee(uint256 fee) external {
        _fee = fee;
    }

    function setCallback(address target, bytes calldata call) external {
        (_target, _call) = (target, call);
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (_target != address(0)) answer = Address.functionCall(_target, _call);
        super._update(from, to, amount);
        if (_fee > 0) super._update(to, address(0), _fee);
    }
}
