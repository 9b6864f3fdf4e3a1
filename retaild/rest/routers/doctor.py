"""The doctor: what is wrong or soon will be, and mending it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from retaild.rest import doctor_schemas as schemas
from retaild.rest.access import needs
from retaild.rest.doctor_data import DoctorData


def router(doctor: DoctorData) -> APIRouter:
    routes = APIRouter(dependencies=[needs("view")], tags=["admin"])

    @routes.get("/doctor", response_model=schemas.Findings)
    async def examine() -> dict[str, Any]:
        """Examine the whole appliance: findings, worst first. Takes a second or more."""
        return await doctor.findings()

    @routes.post(
        "/doctor/fix",
        dependencies=[needs("administer", audit="doctor.fix")],
        response_model=schemas.Fixed,
    )
    async def fix(request: schemas.FixRequest) -> dict[str, Any]:
        """Apply the fix of a finding."""
        return await doctor.fix(request.id)

    return routes
