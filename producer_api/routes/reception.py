"""The common part of the routes that take a body: how each way to fail is answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import Request

from producer_api.http.bodies import drain
from producer_api.http.budget import Overloaded
from producer_api.http.problems import ApiProblem, problem_of
from producer_api.kafka.publisher import PublishFailed
from producer_api.kafka.statuses import NotCaughtUp
from producer_api.services import Services
from schemas.submission import SubmissionRefused

_FAILURES: Final = (ApiProblem, PublishFailed, NotCaughtUp, Overloaded)


@asynccontextmanager
async def receiving(
    request: Request, service: Services, *, not_queued: str = "kafka_unavailable"
) -> AsyncIterator[None]:
    """While the block runs, the body of the request is received and handed on. What makes it fail becomes an ApiProblem
    (`not_queued` where Kafka does not take it), and a client still sending gets to read that."""
    try:
        yield
    except SubmissionRefused as refused:
        await drain(request)
        raise problem_of(refused) from None
    except _FAILURES as failure:
        await drain(request)
        if isinstance(failure, ApiProblem):
            raise
        raise service.later("overloaded" if isinstance(failure, Overloaded) else not_queued) from None
