"""Disassembles functions of 64-bit Arm with capstone: a line `ADDRESS HEX` in, a line of JSON out.

That is one list for each instruction: address, mnemonic, operands, the registers that it overwrites as numbers of x0 to x30
(31 is the stack pointer), and where it leads if that stands in it.
"""

import json
import sys

import capstone

engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
engine.detail = True
engine.skipdata = True
# Other names of instructions that put their result nowhere; capstone has their first operand as overwritten.
COMPARE = {"cmp", "cmn", "tst", "ccmp", "ccmn"}
NUMBERS = {"fp": 29, "lr": 30, "sp": 31, "wsp": 31}


def number(name):
    if name in NUMBERS:
        return NUMBERS[name]
    return int(name[1:]) if name[:1] in "xw" and name[1:].isdigit() else None


def leads_to(instruction):
    name = instruction.mnemonic
    if name in ("b", "bl", "cbz", "cbnz", "tbz", "tbnz") or name.startswith(("b.", "bc.")):
        return int(instruction.op_str.rsplit("#", 1)[1], 16)
    return None


for line in sys.stdin:
    address, code = line.split()
    found = []
    for i in engine.disasm(bytes.fromhex(code), int(address)):
        written = i.regs_access()[1] if i.id and i.mnemonic not in COMPARE else []
        numbers = [number(i.reg_name(r)) for r in written]
        found.append([i.address, i.mnemonic, i.op_str, [n for n in numbers if n is not None], leads_to(i)])
    print(json.dumps(found), flush=True)
