"""The closed lists of the record.

Decree 356/2025/ND-CP, Articles 3 and 4; Law 91/2025/QH15, Article 19.1; ISO 3166-1 alpha-2.
"""

from typing import Final, Literal, get_args

BasicCategory = Literal[
    "basic_name",
    "basic_birth_death",
    "basic_gender",
    "basic_address",
    "basic_nationality",
    "basic_image",
    "basic_identifier",
    "basic_marital",
    "basic_family",
    "basic_account",
    "basic_other",
]
SensitiveCategory = Literal[
    "sensitive_race_ethnicity",
    "sensitive_political_religious",
    "sensitive_private_life",
    "sensitive_health",
    "sensitive_biometric_genetic",
    "sensitive_sex_life",
    "sensitive_crime",
    "sensitive_location",
    "sensitive_identity_account",
    "sensitive_bank",
    "sensitive_financial",
    "sensitive_behaviour",
    "sensitive_other",
]
Category = Literal[BasicCategory, SensitiveCategory]
Subject = Literal[
    "customer",
    "employee",
    "applicant",
    "patient",
    "student",
    "minor",
    "visitor",
    "supplier_contact",
    "citizen",
    "other",
]
# consent, the five cases of Article 19.1 (a, b, c, d, đ), and what a scanner cannot know
LegalBasis = Literal[
    "consent", "urgent_interest", "emergency_security", "state_agency", "agreement", "other_by_law", "undetermined"
]
ControllerRole = Literal["controller", "processor", "controller_processor", "third_party"]
Mechanism = Literal["cloud_storage", "intragroup", "processor_abroad", "platform_abroad", "other"]
Exemption = Literal["state_agency", "employee_data_on_cloud", "own_data", "other_by_law"]
# fmt: off
Country = Literal[
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT", "AU", "AW", "AX", "AZ", "BA", "BB", "BD",
    "BE", "BF", "BG", "BH", "BI", "BJ", "BL", "BM", "BN", "BO", "BQ", "BR", "BS", "BT", "BV", "BW", "BY", "BZ", "CA",
    "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM", "CN", "CO", "CR", "CU", "CV", "CW", "CX", "CY", "CZ", "DE",
    "DJ", "DK", "DM", "DO", "DZ", "EC", "EE", "EG", "EH", "ER", "ES", "ET", "FI", "FJ", "FK", "FM", "FO", "FR", "GA",
    "GB", "GD", "GE", "GF", "GG", "GH", "GI", "GL", "GM", "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY", "HK",
    "HM", "HN", "HR", "HT", "HU", "ID", "IE", "IL", "IM", "IN", "IO", "IQ", "IR", "IS", "IT", "JE", "JM", "JO", "JP",
    "KE", "KG", "KH", "KI", "KM", "KN", "KP", "KR", "KW", "KY", "KZ", "LA", "LB", "LC", "LI", "LK", "LR", "LS", "LT",
    "LU", "LV", "LY", "MA", "MC", "MD", "ME", "MF", "MG", "MH", "MK", "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS",
    "MT", "MU", "MV", "MW", "MX", "MY", "MZ", "NA", "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP", "NR", "NU", "NZ",
    "OM", "PA", "PE", "PF", "PG", "PH", "PK", "PL", "PM", "PN", "PR", "PS", "PT", "PW", "PY", "QA", "RE", "RO", "RS",
    "RU", "RW", "SA", "SB", "SC", "SD", "SE", "SG", "SH", "SI", "SJ", "SK", "SL", "SM", "SN", "SO", "SR", "SS", "ST",
    "SV", "SX", "SY", "SZ", "TC", "TD", "TF", "TG", "TH", "TJ", "TK", "TL", "TM", "TN", "TO", "TR", "TT", "TV", "TW",
    "TZ", "UA", "UG", "UM", "US", "UY", "UZ", "VA", "VC", "VE", "VG", "VI", "VN", "VU", "WF", "WS", "YE", "YT", "ZA",
    "ZM", "ZW",
]
# fmt: on

HOME_COUNTRY: Final = "VN"
CATEGORIES: Final = frozenset(get_args(Category))
SENSITIVE_CATEGORIES: Final = frozenset(get_args(SensitiveCategory))
COUNTRIES: Final = frozenset(get_args(Country))

ScanState = Literal["queued", "processing", "completed", "completed_with_errors", "failed", "cancelled"]
SCAN_STATES: Final = get_args(ScanState)
FINAL_STATES: Final = frozenset({"completed", "completed_with_errors", "failed", "cancelled"})
