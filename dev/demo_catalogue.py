"""The demonstration catalogue: events, layouts, addresses, and keyword mappings."""

from dataclasses import dataclass, field
from typing import NamedTuple


class Section(NamedTuple):
    """A block of seats, with the field names of `layout_config`."""

    name: str
    rows: int
    seatsPerRow: int  # noqa: N815
    price: int
    startRow: int  # noqa: N815


class Ticket(NamedTuple):
    """A ticket type: its price in won, the total quantity, and how many are sold."""

    name: str
    price: int
    total: int
    sold: int = 0


@dataclass(frozen=True)
class Show:
    """An event. Days count from the day of loading, so that the data never get old."""

    title: str
    artist: str
    place: str
    status: str
    sale_days: tuple[int, int]
    event_day: int
    description: str
    layout: str | None = None
    seats_sold: int = 0
    tickets: list[Ticket] = field(default_factory=list)


SMALL, LARGE, STADIUM = "소극장", "대극장", "스타디움"

LAYOUTS = {
    SMALL: (
        "265석 규모의 소극장",
        [
            Section("VIP", 3, 15, 66_000, 1),
            Section("R", 6, 20, 55_000, 4),
            Section("S", 5, 20, 44_000, 10),
        ],
    ),
    LARGE: (
        "1,250석 규모의 대극장",
        [
            Section("VIP", 5, 30, 170_000, 1),
            Section("R", 10, 40, 140_000, 6),
            Section("S", 10, 40, 110_000, 16),
            Section("A", 6, 50, 80_000, 26),
        ],
    ),
    STADIUM: (
        "4,900석 규모의 스타디움",
        [
            Section("VIP", 10, 50, 198_000, 1),
            Section("R", 20, 70, 165_000, 11),
            Section("S", 20, 80, 132_000, 31),
            Section("A", 14, 100, 99_000, 51),
        ],
    ),
}

ADDRESSES = {
    "잠실종합운동장 주경기장": "서울특별시 송파구 올림픽로 25",
    "올림픽공원 KSPO DOME": "서울특별시 송파구 올림픽로 424",
    "샤롯데씨어터": "서울특별시 송파구 올림픽로 240",
    "예술의전당 오페라극장": "서울특별시 서초구 남부순환로 2406",
    "예술의전당 콘서트홀": "서울특별시 서초구 남부순환로 2406",
    "세종문화회관 대극장": "서울특별시 종로구 세종대로 175",
    "대학로예술극장 소극장": "서울특별시 종로구 대학로10길 17",
    "블루스퀘어 신한카드홀": "서울특별시 용산구 이태원로 294",
    "노들섬 라이브하우스": "서울특별시 용산구 양녕로 445",
    "롤링홀": "서울특별시 마포구 어울마당로 35",
    "난지한강공원 젊음의광장": "서울특별시 마포구 한강난지로 162",
    "고척스카이돔": "서울특별시 구로구 경인로 430",
    "벡스코 오디토리움": "부산광역시 해운대구 APEC로 55",
}

SHOWS = [
    Show(
        "아이유 콘서트: 별빛의 밤",
        "아이유",
        "잠실종합운동장 주경기장",
        "on_sale",
        (-3, 300),
        310,
        "주경기장을 가득 채우는 단 하루의 무대.",
        layout=STADIUM,
        seats_sold=120,
    ),
    Show(
        "뮤지컬 오페라의 유령",
        "오페라의 유령 한국어 공연팀",
        "샤롯데씨어터",
        "on_sale",
        (-20, 200),
        210,
        "샹들리에가 떨어지는 그 순간을 다시 만납니다.",
        layout=LARGE,
        seats_sold=64,
    ),
    Show(
        "조성진 피아노 리사이틀",
        "조성진",
        "예술의전당 콘서트홀",
        "on_sale",
        (-1, 150),
        160,
        "쇼팽과 라벨로 꾸미는 저녁.",
        layout=LARGE,
    ),
    Show(
        "연극 한여름 밤의 꿈",
        "극단 달무리",
        "대학로예술극장 소극장",
        "on_sale",
        (-10, 120),
        125,
        "셰익스피어의 희극을 대학로의 언어로.",
        layout=SMALL,
        seats_sold=20,
    ),
    Show(
        "세븐틴 팬미팅: 캐럿의 날",
        "세븐틴",
        "올림픽공원 KSPO DOME",
        "on_sale",
        (-2, 240),
        250,
        "전석 스탠딩으로 진행합니다.",
        tickets=[
            Ticket("스탠딩 A구역", 154_000, 800, 12),
            Ticket("스탠딩 B구역", 143_000, 1_200),
        ],
    ),
    Show(
        "서울 재즈 페스티벌",
        "여러 음악가",
        "난지한강공원 젊음의광장",
        "on_sale",
        (-14, 180),
        185,
        "강바람과 함께하는 사흘. 비가 와도 진행합니다.",
        tickets=[
            Ticket("3일권", 330_000, 2_000, 40),
            Ticket("1일권", 165_000, 6_000, 100),
            Ticket("청소년 1일권", 99_000, 1_000),
        ],
    ),
    Show(
        "Coldplay: Music of the Spheres",
        "Coldplay",
        "고척스카이돔",
        "on_sale",
        (-5, 220),
        230,
        "전석 스탠딩.",
        tickets=[Ticket("스탠딩", 176_000, 15_000, 200), Ticket("얼티밋 스탠딩", 450_000, 300)],
    ),
    Show(
        "혁오 클럽 투어",
        "HYUKOH",
        "롤링홀",
        "sold_out",
        (-30, 60),
        65,
        "작은 공연장에서 가까이 만나는 밤.",
        tickets=[Ticket("스탠딩", 77_000, 300, 300), Ticket("2층 자유석", 66_000, 60, 60)],
    ),
    Show(
        "1인극 라디오를 켜면",
        "배우 한서윤",
        "대학로예술극장 소극장",
        "sold_out",
        (-40, 30),
        33,
        "전 좌석이 매진되었습니다.",
        layout=SMALL,
        seats_sold=265,
    ),
    Show(
        "국립발레단 호두까기 인형",
        "국립발레단",
        "예술의전당 오페라극장",
        "upcoming",
        (14, 200),
        205,
        "연말이면 돌아오는 차이콥스키의 발레.",
        layout=LARGE,
    ),
    Show(
        "방탄소년단 월드 투어",
        "방탄소년단",
        "잠실종합운동장 주경기장",
        "upcoming",
        (30, 260),
        270,
        "예매는 한 사람에 네 장까지 가능합니다.",
        layout=STADIUM,
    ),
    Show(
        "잔나비 어쿠스틱 라이브",
        "잔나비",
        "노들섬 라이브하우스",
        "upcoming",
        (60, 160),
        165,
        "통기타로 다시 부르는 노래들.",
        tickets=[Ticket("자유석", 88_000, 450)],
    ),
    Show(
        "부산 록 콘서트",
        "여러 밴드",
        "벡스코 오디토리움",
        "ended",
        (-90, -10),
        -7,
        "뜨거웠던 여름의 끝.",
        tickets=[Ticket("스탠딩", 99_000, 2_000, 160)],
    ),
    Show(
        "송년 음악회: 합창 교향곡",
        "서울시립교향악단",
        "세종문화회관 대극장",
        "ended",
        (-120, -20),
        -18,
        "베토벤 교향곡 제9번.",
        layout=LARGE,
        seats_sold=96,
    ),
    Show(
        "뮤지컬 레베카",
        "레베카 한국어 공연팀",
        "블루스퀘어 신한카드홀",
        "cancelled",
        (-15, 90),
        100,
        "제작사 사정으로 취소되었습니다. 결제하신 금액은 모두 환불됩니다.",
        tickets=[Ticket("R석", 150_000, 600), Ticket("S석", 120_000, 500)],
    ),
]

KEYWORDS = {
    "artist": {
        "아이유": "IU",
        "방탄소년단": "BTS",
        "세븐틴": "SEVENTEEN",
        "잔나비": "Jannabi",
        "혁오": "HYUKOH",
        "콜드플레이": "Coldplay",
        "조성진": "Seong-Jin Cho",
        "국립발레단": "Korean National Ballet",
        "서울시립교향악단": "Seoul Philharmonic",
    },
    "title": {
        "오페라의 유령": "Phantom of the Opera",
        "호두까기 인형": "Nutcracker",
        "한여름 밤의 꿈": "A Midsummer Night's Dream",
        "레베카": "Rebecca",
    },
    "venue": {
        "잠실종합운동장": "Jamsil",
        "올림픽공원": "Olympic Park",
        "예술의전당": "Seoul Arts Center",
        "세종문화회관": "Sejong Center",
        "고척스카이돔": "Gocheok Sky Dome",
        "블루스퀘어": "Blue Square",
        "노들섬": "Nodeul Island",
        "대학로": "Daehangno",
        "벡스코": "BEXCO",
        "부산": "Busan",
        "서울": "Seoul",
    },
    "genre": {
        "콘서트": "concert",
        "뮤지컬": "musical",
        "연극": "play",
        "발레": "ballet",
        "재즈": "jazz",
        "록": "rock",
        "교향곡": "symphony",
        "페스티벌": "festival",
        "팬미팅": "fan meeting",
        "리사이틀": "recital",
    },
}
