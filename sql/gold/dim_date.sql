/*
description: >
  Calendar. Whole years, for every year in which an order was placed, promised, delivered or reviewed.
  Weeks are ISO weeks (Monday first); names are English.
source: olist
grain: one row per calendar day
key: [calendar_date]
affected_by: calendar_year
columns:
  calendar_date: The day
  calendar_year: Year, four digits
  quarter_number: Quarter of the year, 1 to 4
  month_number: Month of the year, 1 to 12
  month_start_date: First day of the month; what monthly marts are keyed by
  month_name: English name of the month
  day_of_month_number: Day of the month, 1 to 31
  day_of_year_number: Day of the year, 1 to 366
  iso_year: Year the ISO week belongs to; differs from calendar_year around New Year
  iso_week_number: ISO week, 1 to 53
  iso_weekday_number: 1 = Monday to 7 = Sunday
  weekday_name: English name of the weekday
  is_weekend: Saturday or Sunday
rules:
  - name: years_are_whole
    severity: hard
    description: Every staged year has all of its days
    sql: >
      SELECT min(calendar_date) AS calendar_date FROM staged GROUP BY calendar_year
      HAVING count(*) <> max(day_of_year_number)
*/
with day_numbers as (
    -- 0 to 365 by digits: a series function would not be the same in every engine
    select hundreds.digit * 100 + tens.digit * 10 + ones.digit as day_offset
    from (values (0), (1), (2), (3)) as hundreds (digit)
    cross join (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as tens (digit)
    cross join (values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) as ones (digit)
    where hundreds.digit * 100 + tens.digit * 10 + ones.digit <= 365
),

days as (
    select
        years.calendar_year,
        make_date(years.calendar_year, 1, 1) + day_numbers.day_offset as calendar_date
    from affected.calendar_year as years
    cross join day_numbers
),

parts as (
    select
        days.calendar_date,
        days.calendar_year,
        cast(extract(month from days.calendar_date) as integer) as month_number,
        cast(extract(isodow from days.calendar_date) as integer) as iso_weekday_number
    from days
    -- day 365 counted from zero exists in leap years only
    where cast(extract(year from days.calendar_date) as integer) = days.calendar_year
)

select
    cast(parts.calendar_date as date) as calendar_date,
    cast(parts.calendar_year as integer) as calendar_year,
    cast(extract(quarter from parts.calendar_date) as integer) as quarter_number,
    cast(parts.month_number as integer) as month_number,
    cast(date_trunc('month', parts.calendar_date) as date) as month_start_date,
    cast(
        case parts.month_number
            when 1 then 'January'
            when 2 then 'February'
            when 3 then 'March'
            when 4 then 'April'
            when 5 then 'May'
            when 6 then 'June'
            when 7 then 'July'
            when 8 then 'August'
            when 9 then 'September'
            when 10 then 'October'
            when 11 then 'November'
            else 'December'
        end as text
    ) as month_name,
    cast(extract(day from parts.calendar_date) as integer) as day_of_month_number,
    cast(extract(doy from parts.calendar_date) as integer) as day_of_year_number,
    cast(extract(isoyear from parts.calendar_date) as integer) as iso_year,
    cast(extract(week from parts.calendar_date) as integer) as iso_week_number,
    cast(parts.iso_weekday_number as integer) as iso_weekday_number,
    cast(
        case parts.iso_weekday_number
            when 1 then 'Monday'
            when 2 then 'Tuesday'
            when 3 then 'Wednesday'
            when 4 then 'Thursday'
            when 5 then 'Friday'
            when 6 then 'Saturday'
            else 'Sunday'
        end as text
    ) as weekday_name,
    cast(parts.iso_weekday_number >= 6 as boolean) as is_weekend
from parts
