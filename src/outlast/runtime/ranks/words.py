"""What each rank is told: who it is, how many there are, and where they meet. Pure.

The names are those of torch.distributed; kind `mpi` adds Open MPI's, `tensorflow` TF_CONFIG. A node
here is a share of one machine, so all addresses are loopback's.
"""

from __future__ import annotations

import json
from typing import Dict, List, Mapping, NamedTuple, Sequence

from outlast.run.spec import Distributed

ADDRESS = "127.0.0.1"
WORKER, SERVER = "worker", "ps"  # as TF_CONFIG names them
GPUS = "CUDA_VISIBLE_DEVICES"


class Rank(NamedTuple):
    """One process of a distributed run."""

    number: int
    node: int
    local: int  # its number on its node
    role: str = WORKER


def ranks(asked: Distributed) -> List[Rank]:
    """Every rank: the workers node by node, then the parameter servers, spread over the nodes."""
    found = [
        Rank(node * asked.processes_per_node + local, node, local)
        for node in range(asked.nodes)
        for local in range(asked.processes_per_node)
    ]
    for index in range(asked.parameter_servers):
        node, row = index % asked.nodes, index // asked.nodes
        found.append(Rank(len(found), node, asked.processes_per_node + row, SERVER))
    return found


def ports_needed(asked: Distributed) -> int:
    """One to meet at; with TensorFlow one for each process."""
    return len(ranks(asked)) if asked.kind == "tensorflow" else 1


def variables(
    rank: Rank, asked: Distributed, ports: Sequence[int], environ: Mapping[str, str]
) -> Dict[str, str]:
    """What this rank's environment gets beside `environ`, that of the run."""
    everyone = ranks(asked)
    here = sum(other.node == rank.node for other in everyone)
    told = {
        "MASTER_ADDR": ADDRESS,
        "MASTER_PORT": str(ports[0]),
        "RANK": str(rank.number),
        "WORLD_SIZE": str(len(everyone)),
        "LOCAL_RANK": str(rank.local),
        "LOCAL_WORLD_SIZE": str(here),
        "NODE_RANK": str(rank.node),
        "NODE_COUNT": str(asked.nodes),
    }
    if asked.kind == "mpi":
        told["OMPI_COMM_WORLD_RANK"] = told["RANK"]
        told["OMPI_COMM_WORLD_SIZE"] = told["WORLD_SIZE"]
        told["OMPI_COMM_WORLD_LOCAL_RANK"] = told["OMPI_COMM_WORLD_NODE_RANK"] = told["LOCAL_RANK"]
        told["OMPI_COMM_WORLD_LOCAL_SIZE"] = told["LOCAL_WORLD_SIZE"]
    elif asked.kind == "tensorflow":
        told["TF_CONFIG"] = json.dumps(_cluster(rank, everyone, ports))
    if environ.get(GPUS):
        told[GPUS] = _gpus_of_node(rank.node, asked.nodes, environ[GPUS])
    return told


def _cluster(rank: Rank, everyone: Sequence[Rank], ports: Sequence[int]) -> Dict[str, object]:
    cluster: Dict[str, List[str]] = {}
    for other, port in zip(everyone, ports):
        cluster.setdefault(other.role, []).append(f"{ADDRESS}:{port}")
    index = [other.number for other in everyone if other.role == rank.role].index(rank.number)
    return {"cluster": cluster, "task": {"type": rank.role, "index": index}}


def _gpus_of_node(node: int, nodes: int, listed: str) -> str:
    """This node's part of the run's GPUs; all of them where there is less than one for each."""
    gpus = listed.split(",")
    each = len(gpus) // nodes
    return ",".join(gpus[node * each : (node + 1) * each]) if each else listed
