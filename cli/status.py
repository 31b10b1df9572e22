"""`scanline status`: a tenant's scans, or one of them."""

import typer

from cli.options import Json, Tenant
from cli.output import show
from cli.scan_rows import checked_tenant, scan_row, show_scan
from infra.settings import InfraSettings
from operations.api_client import ApiClient
from schemas.codes import SCAN_STATES, ScanState


def status(
    scan_id: str = typer.Argument("", help="không có: danh sách, mới nhất trước / none: a list, newest first"),
    *,
    tenant: Tenant,
    state: ScanState | None = typer.Option(
        None, metavar="STATE", help=f"chỉ tình trạng này / in this state alone: {', '.join(SCAN_STATES)}"
    ),
    limit: int = typer.Option(50, min=1, help="số lượt quét nhiều nhất / most scans of the list"),
    json: Json = False,
) -> None:
    """Tình trạng các lượt quét, hoặc của một lượt quét. / Where scans stand, or one of them."""
    with ApiClient(InfraSettings().api_url, {"status": "--state", "limit": "--limit"}) as api:
        if scan_id:
            show_scan(api.status(checked_tenant(tenant), scan_id), as_json=json)
            return
        found = api.scans(checked_tenant(tenant), state, limit)
    rows = found if json else [scan_row(each) for each in found]
    show(rows, title=tenant, as_json=json, empty="chưa có lượt quét / no scans")
