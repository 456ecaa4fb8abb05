"""What a machine of a named size has: the sizes that scripts written for Azure ML ask for. Pure.

A size here is no machine, only a share of this one: so many CPUs, so much memory, so many GPUs.
"""

from __future__ import annotations

from difflib import get_close_matches

from outlast.errors import Invalid
from outlast.run.spec import Resources

_GIB = 1 << 30

# Name -> CPUs, GiB of memory, GPUs; as Azure's public tables have them.
_SIZES: dict[str, tuple[float, float, int]] = {
    "STANDARD_A1_V2": (1, 2, 0),
    "STANDARD_A2_V2": (2, 4, 0),
    "STANDARD_A4_V2": (4, 8, 0),
    "STANDARD_B1MS": (1, 2, 0),
    "STANDARD_B2S": (2, 4, 0),
    "STANDARD_B2MS": (2, 8, 0),
    "STANDARD_B4MS": (4, 16, 0),
    "STANDARD_D1": (1, 3.5, 0),
    "STANDARD_D1_V2": (1, 3.5, 0),
    "STANDARD_D2": (2, 7, 0),
    "STANDARD_D2_V2": (2, 7, 0),
    "STANDARD_D2_V3": (2, 8, 0),
    "STANDARD_D2S_V3": (2, 8, 0),
    "STANDARD_D2AS_V4": (2, 8, 0),
    "STANDARD_D2DS_V4": (2, 8, 0),
    "STANDARD_D3_V2": (4, 14, 0),
    "STANDARD_D4_V2": (8, 28, 0),
    "STANDARD_D4_V3": (4, 16, 0),
    "STANDARD_D4S_V3": (4, 16, 0),
    "STANDARD_D5_V2": (16, 56, 0),
    "STANDARD_D8_V3": (8, 32, 0),
    "STANDARD_D8S_V3": (8, 32, 0),
    "STANDARD_D11_V2": (2, 14, 0),
    "STANDARD_D12_V2": (4, 28, 0),
    "STANDARD_D13_V2": (8, 56, 0),
    "STANDARD_D14_V2": (16, 112, 0),
    "STANDARD_D15_V2": (20, 140, 0),
    "STANDARD_D16_V3": (16, 64, 0),
    "STANDARD_D16S_V3": (16, 64, 0),
    "STANDARD_D32_V3": (32, 128, 0),
    "STANDARD_D64_V3": (64, 256, 0),
    "STANDARD_DS1_V2": (1, 3.5, 0),
    "STANDARD_DS2_V2": (2, 7, 0),
    "STANDARD_DS3_V2": (4, 14, 0),
    "STANDARD_DS4_V2": (8, 28, 0),
    "STANDARD_DS5_V2": (16, 56, 0),
    "STANDARD_DS11_V2": (2, 14, 0),
    "STANDARD_DS12_V2": (4, 28, 0),
    "STANDARD_DS13_V2": (8, 56, 0),
    "STANDARD_DS14_V2": (16, 112, 0),
    "STANDARD_DS15_V2": (20, 140, 0),
    "STANDARD_E2_V3": (2, 16, 0),
    "STANDARD_E4_V3": (4, 32, 0),
    "STANDARD_E4S_V3": (4, 32, 0),
    "STANDARD_E4DS_V4": (4, 32, 0),
    "STANDARD_E8_V3": (8, 64, 0),
    "STANDARD_E8S_V3": (8, 64, 0),
    "STANDARD_E16_V3": (16, 128, 0),
    "STANDARD_E32_V3": (32, 256, 0),
    "STANDARD_E64_V3": (64, 432, 0),
    "STANDARD_F2S_V2": (2, 4, 0),
    "STANDARD_F4S_V2": (4, 8, 0),
    "STANDARD_F8S_V2": (8, 16, 0),
    "STANDARD_F16S_V2": (16, 32, 0),
    "STANDARD_F32S_V2": (32, 64, 0),
    "STANDARD_F64S_V2": (64, 128, 0),
    "STANDARD_F72S_V2": (72, 144, 0),
    "STANDARD_H8": (8, 56, 0),
    "STANDARD_H16": (16, 112, 0),
    "STANDARD_HB60RS": (60, 228, 0),
    "STANDARD_HC44RS": (44, 352, 0),
    "STANDARD_M64S": (64, 1024, 0),
    "STANDARD_M128S": (128, 2048, 0),
    "STANDARD_NC6": (6, 56, 1),
    "STANDARD_NC12": (12, 112, 2),
    "STANDARD_NC24": (24, 224, 4),
    "STANDARD_NC24R": (24, 224, 4),
    "STANDARD_NC6S_V2": (6, 112, 1),
    "STANDARD_NC12S_V2": (12, 224, 2),
    "STANDARD_NC24S_V2": (24, 448, 4),
    "STANDARD_NC24RS_V2": (24, 448, 4),
    "STANDARD_NC6S_V3": (6, 112, 1),
    "STANDARD_NC12S_V3": (12, 224, 2),
    "STANDARD_NC24S_V3": (24, 448, 4),
    "STANDARD_NC24RS_V3": (24, 448, 4),
    "STANDARD_NC4AS_T4_V3": (4, 28, 1),
    "STANDARD_NC8AS_T4_V3": (8, 56, 1),
    "STANDARD_NC16AS_T4_V3": (16, 110, 1),
    "STANDARD_NC64AS_T4_V3": (64, 440, 4),
    "STANDARD_NC24ADS_A100_V4": (24, 220, 1),
    "STANDARD_NC48ADS_A100_V4": (48, 440, 2),
    "STANDARD_NC96ADS_A100_V4": (96, 880, 4),
    "STANDARD_ND6S": (6, 112, 1),
    "STANDARD_ND12S": (12, 224, 2),
    "STANDARD_ND24S": (24, 448, 4),
    "STANDARD_ND24RS": (24, 448, 4),
    "STANDARD_ND40RS_V2": (40, 672, 8),
    "STANDARD_ND96ASR_V4": (96, 900, 8),
    "STANDARD_ND96AMSR_A100_V4": (96, 1900, 8),
    "STANDARD_NV6": (6, 56, 1),
    "STANDARD_NV12": (12, 112, 2),
    "STANDARD_NV24": (24, 224, 4),
    "STANDARD_NV12S_V3": (12, 112, 1),
    "STANDARD_NV24S_V3": (24, 224, 2),
    "STANDARD_NV48S_V3": (48, 448, 4),
}


def names() -> list[str]:
    """Every size that is known."""
    return list(_SIZES)


def share(name: str) -> Resources:
    """What a node of this size has, in any spelling of the case.

    Raises Invalid with the names nearest to an unknown one.
    """
    key = name.strip().upper()
    found = _SIZES.get(key) or _SIZES.get(f"STANDARD_{key}")
    if found is None:
        near = get_close_matches(key, _SIZES, 3, 0.5)
        meant = f"perhaps {' or '.join(near)}" if near else "outlast compute sizes lists them"
        raise Invalid.field("size", name, f"no such size is known; {meant}")
    cpus, gib, gpus = found
    return Resources(float(cpus), int(gib * _GIB), gpus)
